"""Floor 0: frozen types, state tables and the error tree. No I/O, no clock, no imports from above."""
