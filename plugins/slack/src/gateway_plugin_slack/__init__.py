"""The Slack channel of the outbound gateway. Start reading at `hooks`."""
