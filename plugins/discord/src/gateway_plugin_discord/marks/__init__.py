"""Reactions and pins on Discord: how they are called."""
