"""How the server is reached: connections, whose the outbox is, its schema, what failures mean.

Above it are what writes and what reads; it imports the settings alone.
"""
