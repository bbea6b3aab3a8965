"""`gateway demo --processes 3`: several processes share a database, and one of them is killed."""
