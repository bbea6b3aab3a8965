"""How a text becomes the parts of a Slack message, sans-I/O: start at `parts`."""
