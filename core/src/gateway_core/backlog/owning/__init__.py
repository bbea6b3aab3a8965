"""Decides which accounts are this process's, and has what it needs of them; imports `backlog`."""
