"""What operators see of an outbox and ask of its gateway, whatever its engine.

It imports what is `durable` above it, and no engine.
"""
