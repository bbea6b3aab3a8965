"""One module per client; each runs in a process of its own, and needs only its own library."""
