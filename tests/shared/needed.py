"""Skips tests whose programs import what is not installed, and does not import it here."""

from importlib.util import find_spec

import pytest


def need(*packages):
    """Skip the test or file unless all of these are installed: importing one may take seconds."""
    for package in packages:
        if find_spec(package) is None:
            pytest.skip(f"{package} is not installed", allow_module_level=True)
