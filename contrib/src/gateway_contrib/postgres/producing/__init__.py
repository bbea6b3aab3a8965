"""A process that delivers nothing: it hands over, asks, and hears what became of it."""
