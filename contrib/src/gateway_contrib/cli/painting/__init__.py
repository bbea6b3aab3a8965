"""What a reader would see of a message's content, and pictures of it."""
