"""From a caller's words to an accepted envelope."""
