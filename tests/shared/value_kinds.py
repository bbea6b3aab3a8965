"""Tells of which classes a value is made, at every level."""

import attrs


def kinds(value):
    """The classes of all that a value holds."""
    yield type(value)
    if attrs.has(type(value)):
        value = attrs.asdict(value, recurse=False)
    if isinstance(value, dict):
        for item in (*value, *value.values()):
            yield from kinds(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from kinds(item)
