"""Shows an outbox in a file to operators, and passes their requests to its owner."""
