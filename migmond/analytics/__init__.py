"""Floor 1: pure decisions about how runs went, go and will go on. `now` is an argument, nothing is read or written."""
