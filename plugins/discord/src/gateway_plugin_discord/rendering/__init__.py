"""How a text becomes the parts of a Discord message, sans-I/O: start at `parts`."""
