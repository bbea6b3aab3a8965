"""`gateway broadcast` and `gateway group`: send many messages at once, and follow them."""
