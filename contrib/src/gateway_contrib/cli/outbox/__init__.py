"""`gateway outbox …`: what a durable outbox keeps, and what operators ask of its gateway."""
