"""`gateway explain`: shows the messages that a text would become, and sends nothing."""
