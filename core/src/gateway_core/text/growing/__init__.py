"""Heals the Markdown of an answer that is still growing; imports from `text` alone."""
