"""Keys for tests of sealing, and a search for readable words in files."""

from __future__ import annotations

import base64

from gateway_core import Secret


def key(number):
    """A key, as `openssl rand -base64 32` would make it."""
    return Secret(base64.b64encode(bytes([number]) * 32).decode())


FIRST, SECOND, THIRD = key(1), key(2), key(3)


def on_disk(path):
    """All bytes of the outbox's file, its log, its index and its folder, as they are now."""
    files = [file for file in path.parent.glob(f"{path.name}*") if file.is_file()]
    files += path.with_name(f"{path.name}.bytes").glob("*")
    return b"".join(file.read_bytes() for file in sorted(files))


def words_in(content, *words):
    """The words that a person with these bytes could read, as plain text or in base64."""
    found = []
    for word in words:
        forms = [word.encode(), word.encode("utf-16-le")]
        forms += [base64.b64encode(b" " * shift + word.encode())[4:-4] for shift in range(3)]
        forms = [form for form in forms if len(form) >= len(word.encode()) // 2]
        found += [word for form in forms if len(form) > 4 and form in content][:1]
    return found
