"""Local Telegram, Slack and Discord: ASGI applications that behave like the platforms' APIs."""
