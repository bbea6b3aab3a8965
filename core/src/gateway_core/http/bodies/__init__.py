"""Decides what a streamed body is made of, and reads it in pieces; may import `contract` alone."""
