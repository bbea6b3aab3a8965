"""Decides, sans-I/O, what may go out and what a 429 changes; may import `deliveries` and below."""
