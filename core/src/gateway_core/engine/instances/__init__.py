"""Performs what befalls an instance: added, replaced, suspended, resumed, removed; as `engine`."""
