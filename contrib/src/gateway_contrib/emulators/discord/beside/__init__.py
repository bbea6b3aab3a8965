"""What a message of the emulated Discord has besides its text and its files."""
