"""The pictures of how texts look are of today's plans."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway_contrib.cli.app import main

LOOKS = Path(__file__).parents[2] / "docs" / "reference" / "looks"
TEXTS = sorted(LOOKS.glob("*.md"))


@pytest.mark.parametrize("text", TEXTS, ids=lambda path: path.stem)
def test_a_picture_is_what_make_pictures_draws(text, tmp_path, capsys):
    picture, table = tmp_path / "now.svg", text.with_suffix(".toml")
    config = ["--config", str(table)] if table.exists() else []
    assert 0 == main(["explain", "--file", str(text), "--svg", str(picture), *config])
    capsys.readouterr()
    assert picture.read_text() == text.with_suffix(".svg").read_text(), "run `make pictures`"


def test_every_picture_is_shown():
    pages = [LOOKS.parent / "text.md", LOOKS.parents[1] / "index.md"]
    shown = {name for page in pages for name in re.findall(r"looks/(\w+)\.svg", page.read_text())}
    assert {text.stem for text in TEXTS} == shown
