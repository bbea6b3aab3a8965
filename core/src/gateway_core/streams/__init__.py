"""Streams: answers that are sent while they are written; may import `answering` and below."""
