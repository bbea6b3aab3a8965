"""`gateway demo`: delivers 600 real texts with the installed plugins to emulated platforms."""
