"""Floor 3: the worker process. Plain threads, no trio: it acts and tells, the daemon decides and journals."""
