"""Reads Slack's answers: `web_api` to calls of methods, `urls` to messages by a secret URL."""
