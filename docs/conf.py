"""Sphinx settings: MyST Markdown, furo, reference pages filled from the code."""

import sys
from importlib.metadata import version as installed
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "Outbound message gateway"
copyright = "its contributors"
version = release = installed("gateway-core")
extensions = ["myst_parser", "from_code", "tables"]
exclude_patterns = ["_build", "_ext", "reference/looks"]
nitpicky = True
html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["pages.css"]
html_title = f"{project} {release}"
html_show_sphinx = False
html_copy_source = False
myst_heading_anchors = 3
