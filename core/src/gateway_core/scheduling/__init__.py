"""Decides, sans-I/O, who goes next and who may come in; may import `accounts` and below."""
