"""What a message has beside its text and its files, as Discord takes it."""
