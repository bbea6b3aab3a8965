"""`gateway demo`: 600 real texts through the installed plugins to three emulated platforms."""
