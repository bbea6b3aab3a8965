"""Performs the keeping of files: looks, stores, reads; may import `outboxes` and below."""
