"""What people do on the emulated Slack, and the URLs by which it is answered without a token."""
