"""What is sent to a secret URL and not by the token: answers to interactions, a webhook."""
