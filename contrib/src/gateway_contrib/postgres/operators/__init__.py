"""Shows an outbox in PostgreSQL to operators, and passes their requests to its owner."""
