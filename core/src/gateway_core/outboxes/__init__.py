"""Where accepted envelopes are stored until they end: the interface, and the outbox in memory."""
