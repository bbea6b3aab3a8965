"""Decides what may go out now: buckets, windows, circuits, and what a 429 changes. Sans-I/O."""
