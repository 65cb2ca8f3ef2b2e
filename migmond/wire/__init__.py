"""Floor 1: what travels between processes, without any I/O."""
