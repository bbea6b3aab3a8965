"""What a stream has to say, and how it is shown. Imports from `deliveries` and below."""
