"""Reactions and pins on Discord: the calls that set and remove them."""
