"""What `bench.crashes --files` finds missing, doubled, changed or left behind."""

import apsw
import pytest

from bench.crash_files import SHARED, SeenFiles, files_of, orphans
from gateway_contrib.emulators.files.store import File
from gateway_contrib.emulators.rooms import Message

TWO = next(number for number in range(100) if len(files_of(number)) == 2)
ALIKE = next(n for n in range(100) if [file.source for file in files_of(n)] == [SHARED])


def seen(*messages):
    """Of (text, names of files, their bytes), on one platform."""
    found, contents = SeenFiles(), {}
    for number, (text, files) in enumerate(messages):
        stored = []
        for name, content in files:
            stored.append(File(name=name, digest=f"{number} {name}"))
            contents[stored[-1].digest] = content
        message = Message(id=str(number), room="1", text=text, files=tuple(stored))
        found.look("telegram", message, contents.get)
    return found


def sent(number):
    return [(file.name, file.source) for file in files_of(number)]


def test_an_album_is_whole_by_its_names():
    one, two = sent(TWO)
    found = seen((f"m{TWO}w00", [one]), ("", [two]))
    assert ([], set(), []) == (found.missing(TWO, {}), found.twice("telegram"), [*found.strange()])


def test_the_same_bytes_are_of_the_message_whose_text_they_have():
    found = seen((f"m{ALIKE}w00", [("m0f0.bin", SHARED)]))
    assert ([], []) == (found.missing(ALIKE, {}), [*found.strange()])


def test_what_is_missing_doubled_or_changed_is_found():
    one, two = sent(TWO)
    found = seen((f"m{TWO}w00", [one]), (f"m{TWO}w00", [one]))
    assert ([two[0]], {TWO}) == (found.missing(TWO, {}), found.twice("telegram"))
    unknown = {"parts": [{"outcome": "unknown", "files": [1]}]}
    assert [] == found.missing(TWO, unknown)
    assert [f"m{TWO}: a file of 5 bytes that it does not have"] == [
        *seen((f"m{TWO}w00", [(one[0], b"other")])).strange()
    ]


@pytest.mark.parametrize(
    ("ended", "there", "left"),
    [
        ("unknown", True, []),
        ("unknown", False, ["no abc beside it"]),
        ("delivered", True, ["a use of abc, by", "bytes abc in the", "abc beside it"]),
        (None, True, ["bytes abc in the", "abc beside it"]),
    ],
)
def test_bytes_that_nobody_needs_are_found(tmp_path, ended, there, left):
    path = tmp_path / "outbox.db"
    database = apsw.Connection(str(path))
    database.execute("CREATE TABLE bytes (digest, content); CREATE TABLE uses (seq, digest)")
    database.execute("CREATE TABLE history (seq, receipt); INSERT INTO bytes VALUES ('abc', NULL)")
    if ended:
        receipt = f'{{"disposition":"{ended}"}}'
        database.execute("INSERT INTO uses VALUES (1, 'abc')")
        database.execute("INSERT INTO history VALUES (1, ?)", (receipt,))
    database.close()
    folder = tmp_path / "outbox.db.bytes"
    folder.mkdir()
    if there:
        (folder / "abc").touch()
    found = orphans(path)
    assert len(left) == len(found)
    assert all(one.startswith(words) for one, words in zip(found, left, strict=True)), found
