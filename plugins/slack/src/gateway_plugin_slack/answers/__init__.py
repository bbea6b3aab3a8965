"""How Slack's answers are read: `web_api` those of methods, `urls` those of URLs for messages."""
