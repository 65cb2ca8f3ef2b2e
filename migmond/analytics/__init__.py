"""Floor 1: what measurements mean. Pure: `now` is an argument."""
