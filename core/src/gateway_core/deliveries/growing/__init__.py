"""The growing text of a stream, and how it is shown. Imports from `deliveries` and below."""
