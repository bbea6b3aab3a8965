"""Knows a schema's keys, and seals everything in the schema anew with the first of them."""
