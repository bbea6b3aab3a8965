"""What is sent by a token of its own and not as the bot: answers to interactions, a webhook."""
