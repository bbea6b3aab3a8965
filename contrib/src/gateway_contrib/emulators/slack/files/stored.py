"""Stores files as Slack does, and where each is shared (docs.slack.dev, the file object)."""

from __future__ import annotations

import hashlib
import mimetypes
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

import attrs

from gateway_contrib.emulators.files.kinds import PICTURES, UNKNOWN, recognised
from gateway_contrib.emulators.files.store import File, FileStore

FILES_URL = "https://files.slack.com"


@attrs.define(kw_only=True, eq=False)
class SlackFile:
    """One file, from the moment at which its upload is requested.

    size    in bytes, as announced by that request
    digest  the digest of its bytes; None: the bytes have not arrived
    shares  the messages that show it, by conversation; each is a `ts` and a thread
    """

    id: str
    name: str
    size: int
    user: str
    created: int
    base: str
    team: str
    title: str = ""
    alt: str = ""
    digest: str | None = None
    media_type: str = ""
    sides: tuple[int, int] = (0, 0)
    completed: bool = False
    deleted: bool = False
    shares: dict[str, list[tuple[str, str | None]]] = attrs.field(factory=dict)

    @property
    def upload_url(self) -> str:
        """The address to which the file's bytes are to be posted."""
        return f"{self.base}/upload/v1/{self.id}"

    @property
    def private_url(self) -> str:
        """The address from which the file's bytes are read with a token."""
        return f"{self.base}/files-pri/{self.team}-{self.id}/{quote(self.name)}"

    def receive(self, data: bytes, store: FileStore) -> None:
        """Take the file's bytes: all, or the first of them if the store cannot hold all."""
        kind = recognised(data)
        guessed = mimetypes.guess_type(self.name)[0] or UNKNOWN.media_type
        self.media_type = guessed if kind == UNKNOWN else kind.media_type
        self.sides = (kind.width, kind.height)
        whole = len(data) == self.size
        self.digest = store.put(data) if whole else hashlib.sha256(data).hexdigest()

    def seen(self) -> File:
        """The file as the readers of a message see it."""
        return File(
            name=self.name,
            media_type=self.media_type,
            size=self.size,
            digest=self.digest,
            alt=self.alt,
        )

    def wire(self) -> dict[str, Any]:
        """The file object; its type is empty until it is shared, as was seen in Slack."""
        shown = self.media_type if self.shares else ""
        width, height = self.sides
        drawn = {"original_w": width, "original_h": height} if width and shown else {}
        return {
            "id": self.id,
            "created": self.created,
            "timestamp": self.created,
            "name": self.name,
            "title": self.title or self.name,
            "mimetype": shown,
            "filetype": self.name.rpartition(".")[2] if shown else "",
            "user": self.user,
            "mode": "hosted",
            "editable": False,
            "is_external": False,
            "size": self.size,
            "url_private": self.private_url,
            "url_private_download": self.private_url,
            "is_public": any(room.startswith("C") for room in self.shares),
            "channels": self._rooms("C"),
            "groups": self._rooms("G"),
            "ims": self._rooms("D"),
            "shares": self._shares(),
            **({"alt_txt": self.alt} if self.alt else {}),
            **drawn,
        }

    def _rooms(self, kind: str) -> list[str]:
        return [room for room in self.shares if room.startswith(kind)]

    def _shares(self) -> dict[str, Any]:
        shares: dict[str, Any] = {}
        for room, messages in self.shares.items():
            where = shares.setdefault("public" if room.startswith("C") else "private", {})
            where[room] = [
                {"ts": ts, "team_id": self.team, **({"thread_ts": thread} if thread else {})}
                for ts, thread in messages
            ]
        return shares


class Files:
    """Every file of a workspace.

    base    the beginning of the addresses that are given out
    broken  addresses of pictures that Slack cannot fetch
    """

    def __init__(self, store: FileStore, team: str) -> None:
        self.store = store
        self._team = team
        self.base = FILES_URL
        self.broken: set[str] = set()
        self._files: dict[str, SlackFile] = {}

    def reserve(self, *, name: str, size: int, alt: str, user: str, created: int) -> SlackFile:
        """A new file, whose bytes have not arrived yet."""
        number = f"F0FILE{len(self._files) + 1:05d}"
        file = SlackFile(
            id=number,
            name=name,
            size=size,
            alt=alt,
            user=user,
            created=created,
            base=self.base,
            team=self._team,
        )
        self._files[number] = file
        return file

    def get(self, number: Any) -> SlackFile | None:
        """The file with this id, deleted or not."""
        return self._files.get(number) if isinstance(number, str) else None

    def usable(self, named: Any) -> SlackFile | None:
        """The picture that a `slack_file` names by id or address, if it is shared somewhere."""
        file = self._picture_of(named)
        return file if file is not None and file.shares else None

    def _picture_of(self, named: Any) -> SlackFile | None:
        """The named picture, shared or not; None: it is deleted, not a picture, or unknown."""
        if not isinstance(named, Mapping) or ("id" in named) == ("url" in named):
            return None
        file = self.get(named.get("id"))
        if file is None:
            by_url = (one for one in self._files.values() if one.private_url == named.get("url"))
            file = next(by_url, None)
        return None if file is None or file.deleted or file.media_type not in PICTURES else file

    def unshare(self, fields: Mapping[str, Any], room: str, ts: str) -> None:
        """Note that the message with these fields, which shared its files, was deleted."""
        for file in map(self.get, fields.get("files") or ()):
            if file is None or room not in file.shares:
                continue
            left = [share for share in file.shares[room] if share[0] != ts]
            file.shares[room] = left
            if not left:
                del file.shares[room]

    def seen(self, fields: Mapping[str, Any]) -> tuple[File, ...]:
        """The files and pictures of a message with these fields."""
        shared = (self.get(number) for number in fields.get("files") or ())
        there = [file.seen() for file in shared if file is not None and not file.deleted]
        return (*there, *map(self._picture, pictures(fields.get("blocks"))))

    def _picture(self, image: Mapping[str, Any]) -> File:
        alt = str(image.get("alt_text") or "")
        file = self._picture_of(image.get("slack_file"))
        if file is not None:
            return attrs.evolve(file.seen(), alt=alt)
        return File(name=alt or "picture", url=str(image.get("image_url") or ""), alt=alt)


def pictures(node: Any) -> Iterator[Mapping[str, Any]]:
    """Every image in blocks, whether a block or an element, depth first."""
    if isinstance(node, list):
        for child in node:
            yield from pictures(child)
    elif isinstance(node, Mapping):
        if node.get("type") == "image":
            yield node
        for child in node.values():
            yield from pictures(child)
