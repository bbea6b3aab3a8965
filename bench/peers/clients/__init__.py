"""One module per client, each run as a process of its own; none needs another's libraries."""
