"""What to show of a Markdown text that still grows. Sans-I/O."""


def healed(text: str) -> str:
    """The text to show now."""
    return text.rstrip()
