"""Floor 1: pure decisions about plans, batches, retries and rates. `now` is an argument, nothing is read or written."""
