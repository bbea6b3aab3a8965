"""Knows a file's keys, and seals everything in the file anew with the first of them."""
