"""migmond: a daemon that moves files durably, and lets people watch and steer every move."""

__version__ = "0.1.0"
