"""`gateway demo --processes 3`: through several processes and one database, and one is killed."""
