"""Shows operators an outbox, and asks its gateway for them, whatever the engine is.

This package imports modules of `durable`, and no engine.
"""
