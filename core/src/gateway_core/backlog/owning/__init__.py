"""Decides which accounts this process owns, and restores their state; imports `backlog`."""
