"""Files of the emulated Slack: uploaded, completed, shared after a while, and shown in blocks."""
