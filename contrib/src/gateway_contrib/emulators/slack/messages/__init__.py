"""What bots post on the emulated Slack: messages, streams and statuses, as methods of its API."""
