"""Brings what a durable outbox holds beyond memory into the partitions."""
