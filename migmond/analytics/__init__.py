"""Floor 1: what measurements mean: how runs went, go and will go on. Pure: `now` is an argument."""
