"""Floor 3: the configuration: files merged as systemd merges them, typed, with the origin of every value."""
