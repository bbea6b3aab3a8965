"""What people do on the emulated Slack, and the URLs by which an app answers without a token."""
