"""Content that a Discord message has besides its text and its files: polls."""
