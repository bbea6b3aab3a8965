"""The parts of the outbox in memory; may import what `testing` may."""
