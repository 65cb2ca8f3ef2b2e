"""Pure functions from what the API says to text; tested without a terminal."""
