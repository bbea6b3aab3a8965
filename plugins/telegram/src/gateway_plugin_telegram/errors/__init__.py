"""What a refusal of Telegram means: its words, and the verdict of an attempt."""
