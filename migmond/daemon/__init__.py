"""Floor 5: the composition root: what starts in which order, what stops in which, and how systemd hears of it."""
