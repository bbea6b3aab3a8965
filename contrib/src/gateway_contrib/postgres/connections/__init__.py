"""Reaches the server: connections, the outbox's ownership and schema, and what failures mean.

The modules that write and read are above this package; it imports only the settings.
"""
