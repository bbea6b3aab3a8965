"""A stream that its platform shows natively; imports from `deliveries` and below."""
