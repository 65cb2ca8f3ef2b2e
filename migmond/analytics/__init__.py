"""Floor 1: figures about executions, pure: `now` is an argument, nothing is read or written."""
