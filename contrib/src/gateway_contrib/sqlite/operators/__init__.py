"""What operators and other processes ask of an outbox in a file, and of its owner."""
