"""Messages that are sent by another token than the bot's: answers to interactions, webhooks."""
