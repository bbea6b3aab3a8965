"""Tests of what every outbox stores beside entries; may import what `testing` may."""
