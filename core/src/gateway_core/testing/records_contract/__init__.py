"""What every outbox stores beside entries, as tests; may import what `testing` may."""
