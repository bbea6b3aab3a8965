"""The file itself: who owns it, what belongs to it, whether it is in order, and how large it is.

Above it are the tables and their connections; below it only what names failures.
"""
