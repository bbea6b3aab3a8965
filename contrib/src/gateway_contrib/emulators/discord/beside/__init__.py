"""What a message of the emulated Discord has beside its text and its files."""
