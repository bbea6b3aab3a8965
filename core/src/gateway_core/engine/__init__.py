"""Makes attempts and ends envelopes, as decided below; may import `monitoring` and below."""
