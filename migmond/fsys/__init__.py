"""Floor 2: what the movers do to file systems. Everything by directory fd and bytes; no trio, no journal."""
