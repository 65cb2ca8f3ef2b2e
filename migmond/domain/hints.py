"""Advice that is given in several places."""

from __future__ import annotations

SEE_LOG = (
    "see the daemon's log: journalctl -u migmond; of one that migmon started for you, daemon.log in its state "
    "directory (migmon status)"
)
