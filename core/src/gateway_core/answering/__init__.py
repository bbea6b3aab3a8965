"""Answers events, marks messages: replies, reactions, pins; may import `submission` and below."""
