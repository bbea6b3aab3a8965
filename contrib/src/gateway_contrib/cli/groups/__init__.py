"""`gateway broadcast` and `gateway group`: many messages at once, and what becomes of them."""
