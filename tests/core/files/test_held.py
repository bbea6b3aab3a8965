"""Bytes of files in memory: bounded together, and never another file's."""

from io import FileIO
from itertools import product

import pytest

from gateway_core import File
from gateway_core.files.checks import are_plain, file_problems
from gateway_core.files.held import LARGEST, PIECE, SPARE, Allowance
from gateway_core.http.bodies.sources import BLOCK
from gateway_core.outboxes import digest_of_bytes


def read(allowance, path, content):
    """The file, held."""
    path.write_bytes(content)
    held = allowance.hold(len(content))
    with FileIO(path) as opened:
        assert len(content) == held.read(opened)
    return held


@pytest.mark.parametrize("size", [1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE + 7])
def test_the_bytes_are_those_of_the_file(size, tmp_path):
    content = bytes(i * 7 % 251 for i in range(size))
    held = read(Allowance(), tmp_path / "f", content)
    taken = Allowance().hold(size)
    taken.take(content)
    assert content == b"".join(held) == b"".join(taken)
    assert digest_of_bytes(content) == held.digest == taken.digest
    assert max(map(len, held.pieces)) <= PIECE


def test_a_piece_is_one_write():
    assert BLOCK == PIECE


def test_the_place_is_another_s_as_soon_as_nobody_has_the_bytes():
    allowance = Allowance(10)
    first = allowance.hold(6)
    assert None is allowance.hold(6)
    del first
    assert 6 == allowance.hold(6).size


def test_a_large_file_has_no_place():
    assert None is Allowance().hold(LARGEST + 1)


def test_a_view_stays_as_it_is_when_its_file_has_gone(tmp_path):
    """Whoever still sends a piece of it: the buffers of the others are used again."""
    allowance, path = Allowance(), tmp_path / "f"
    held = read(allowance, path, b"a" * 3 * PIECE)
    seen, others = held.pieces[1], {id(held.pieces[0].obj), id(held.pieces[2].obj)}
    del held
    again = read(allowance, path, b"b" * 3 * PIECE)
    assert b"a" * PIECE == bytes(seen)
    assert others < {id(piece.obj) for piece in again.pieces}
    assert b"b" * 3 * PIECE == b"".join(again)


def test_few_buffers_wait_for_the_next_file(tmp_path):
    allowance = Allowance()
    held = [read(allowance, tmp_path / "f", b"a" * 8 * PIECE) for _ in range(16)]
    held.clear()
    assert SPARE == len(allowance._spare)


SOURCES = ["a/path", "https://example.org/a", "http://", "", "a\0b", b"x", b"", None, 3, ".", "é"]
NAMES = ["", "a.png", "a/b", "a\\b", ".", "..", "x" * 256, "a\nb", "é", 7, None]
DIGESTS = ["", "a" * 64, "A" * 64, "a" * 63, None, 0]
REST = [
    {},
    {"id": "7"},
    {"media_type": "image/png"},
    {"media_type": "png"},
    {"media_type": None},
    {"alt": "a cat"},
    {"alt": "a\tcat"},
    {"alt": "x" * 5000},
    {"alt": None},
    {"spoiler": 1},
    {"as_document": None},
    {"size": -1},
    {"size": True},
    {"width": 1.5},
    {"height": None},
]


def test_what_is_plain_at_a_glance_has_no_problem():
    """And what people mostly hand over is: else the look would be of no use."""
    plain = 0
    for source, name, digest, rest in product(SOURCES, NAMES, DIGESTS, REST):
        file = File(source, name=name, digest=digest, **rest)
        if are_plain((file,)):
            plain += 1
            assert [] == list(file_problems("files.0", file)), file
    assert plain
    assert are_plain((File("a/path"), File(b"x", name="x"), File(digest="a" * 64, size=3)))
    assert not are_plain([File("a/path")])
    assert not are_plain(("a/path",))
