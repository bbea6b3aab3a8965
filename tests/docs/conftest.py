"""What the tests of several pages share."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

EXTENSION = Path(__file__).parents[2] / "docs/_ext/from_code.py"


@pytest.fixture(scope="session")
def from_code():
    """The Sphinx extension that fills reference pages."""
    spec = importlib.util.spec_from_file_location("from_code", EXTENSION)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
