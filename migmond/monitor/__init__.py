"""Floor 3: what is measured while migrations run, and where it goes (trio)."""
