"""What a message has beside its text and its files: values, and what is wrong with them."""
