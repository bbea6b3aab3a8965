"""Decides what a refusal by Telegram means: its words, and the attempt's verdict."""
