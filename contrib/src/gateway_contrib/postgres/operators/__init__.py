"""What operators and other processes see of an outbox in PostgreSQL, and ask of its owner."""
