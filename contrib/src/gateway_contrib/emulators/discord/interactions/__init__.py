"""Interactions: the answers that bots may give to people, and what those people saw of them."""
