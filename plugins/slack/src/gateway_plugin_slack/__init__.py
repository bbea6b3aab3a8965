"""The Slack channel of the outbound gateway; start at `hooks`."""
