"""Looks after the file: who owns it, what belongs to it, whether it is intact, how large it is.

The tables and their connections are above this package; only the module `failing` is below it.
"""
