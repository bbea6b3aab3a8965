"""`gateway outbox …`: shows what a durable outbox stores, and sends operators' requests."""
