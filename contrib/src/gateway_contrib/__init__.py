"""Optional, channel-independent parts of the outbound gateway."""
