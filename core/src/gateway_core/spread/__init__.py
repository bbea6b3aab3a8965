"""Serves an account here, or hands over to its owner; may import `producers` and below."""
