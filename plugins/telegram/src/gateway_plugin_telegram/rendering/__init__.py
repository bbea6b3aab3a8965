"""How a text becomes the parts of a Telegram message, sans-I/O: start at `parts`."""
