"""Floor 5: `migmon`. Imports the client and the domain only; rich only where something is drawn."""
