"""Interactions: what bots may answer people with, and what these saw of it."""
