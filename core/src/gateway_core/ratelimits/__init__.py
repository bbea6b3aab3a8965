"""Decides what may be sent now: buckets, windows, circuits, and what a 429 changes. Sans-I/O.

May import `deliveries` and below.
"""
