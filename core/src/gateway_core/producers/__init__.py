"""How an owner answers processes that deliver nothing; may import groups and below."""
