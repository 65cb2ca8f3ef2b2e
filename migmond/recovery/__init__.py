"""What follows from errors: what is done about them, what they come from, what to do next. Pure."""
