"""Performs what is decided below: attempts and endings; may import `monitoring` and below."""
