"""Messages to a secret URL instead of by the token: answers to interactions, and webhooks."""
