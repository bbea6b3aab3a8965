"""Performs what is decided below: partitions, their workers, attempts and completion.

May import `monitoring` and below.
"""
