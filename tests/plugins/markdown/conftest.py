"""Lets the tests here import `seen`, which reads messages as a reader sees them."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
