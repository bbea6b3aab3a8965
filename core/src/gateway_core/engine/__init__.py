"""Performs what is decided below: partitions, their workers, attempts and endings."""
