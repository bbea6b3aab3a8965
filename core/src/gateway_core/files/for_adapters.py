"""Provides what adapters of several channels do alike about files. Sans-I/O."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import attrs

from gateway_core.contract.envelopes import Edit, Part, Send
from gateway_core.contract.errors import Problem
from gateway_core.contract.files import File


def too_much(
    files: Sequence[File], *, platform: str, most: int, most_bytes: int, longest_alt: int
) -> Iterator[Problem]:
    """Problems of files that exceed a channel's limits, each with its place.

    platform     the platform's name, for the problems' words
    most         most files of one message: the setting `max_files`
    most_bytes   most bytes of one file: the setting `max_file_size`
    longest_alt  most characters of an alternative text
    """
    if len(files) > most:
        yield Problem("files", f"has {len(files)} files, at most {most} go with a message")
    for place, file in enumerate(files):
        if file.size > most_bytes:
            most_of_one = f"{platform} takes at most {most_bytes} (the setting `max_file_size`)"
            text = f"{file.name!r} has {file.size} bytes, {most_of_one}"
            yield Problem(f"files.{place}", text)
        if len(file.alt) > longest_alt:
            text = f"has {len(file.alt)} characters, at most {longest_alt}"
            yield Problem(f"files.{place}.alt", text)


def with_first_part(message: Send | Edit, parts: Sequence[Part]) -> Sequence[Part]:
    """The plan with all files on its first part, where an edit of any length finds them.

    For channels that can show any files beside a text.
    """
    if not message.files or not parts:
        return parts
    places = tuple(range(len(message.files)))
    return (attrs.evolve(parts[0], files=places), *parts[1:])
