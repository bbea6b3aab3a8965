"""Answers incoming events: where they came from, replies; may import `submission` and below."""
