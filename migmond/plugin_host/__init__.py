"""Floor 3: finds plugins, checks what they register, and keeps their failures their own."""
