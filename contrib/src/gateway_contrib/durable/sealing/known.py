"""Checks, when an outbox is opened, that the keys that it knows are given, not row by row later."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from gateway_contrib.durable.sealing.keyring import Keyring
from gateway_core import Secret
from gateway_core.outboxes import OutboxError

if TYPE_CHECKING:  # its library is an extra
    from gateway_contrib.durable.sealing.ciphers import Key


def keys_in(given: Sequence[Secret]) -> tuple[Key, ...]:
    """The keys. Raises `ValueError` for an invalid one, ModuleNotFoundError without the extra."""
    if not given:
        return ()
    from gateway_contrib.durable.sealing.ciphers import keys_of  # noqa: PLC0415 - an extra

    return keys_of(given)


def keyring_of(
    known: Mapping[str, str],
    keys: Sequence[Key],
    place: object,
    *,
    introduce: Callable[[str, str], None] | None,
    ids: Callable[[], Collection[str]],
) -> Keyring:
    """The keyring of the outbox at `place`. Raises `OutboxError` if one of its keys is not given.

    known      the outbox's secret sealed with each key that the outbox names, by the key's id
    introduce  stores such a pair, for the owner, which makes its first key known to the outbox.
               None: for a process that only looks at the outbox; it seals with keys that the owner
               can open, and may meet keys that the owner was given since
    ids        returns the ids of the keys that the outbox names by now
    """
    given = {key.id: key for key in keys}
    lacking = [name for name in known if name not in given]
    if lacking:
        raise OutboxError(f"outbox {place} cannot be opened: {_told(lacking, given)}")
    secret = b""
    for name, sealed in known.items():
        secret = _secret_in(given[name], sealed, place)
    if introduce is None:
        return Keyring([key for key in keys if key.id in known], secret, ids)
    if keys and keys[0].id not in known:
        secret = secret or secrets.token_bytes(32)
        introduce(keys[0].id, keys[0].seal(secret, _place(keys[0].id)))
    return Keyring(keys, secret)


def handing_keyring(known: Mapping[str, str], keys: Sequence[Key], place: object) -> Keyring:
    """The keyring of a process that hands over to the owner of the outbox at `place`.

    It seals with the first of its keys that the outbox names, so that the owner can open the value,
    and it opens with all of its keys. Raises `OutboxError` if the outbox names none of them.
    """
    named = [key for key in keys if key.id in known]
    if keys and not named:
        raise OutboxError(f"outbox {place} cannot take messages: {_told(known, _ids(keys))}")
    secret = _secret_in(named[0], known[named[0].id], place) if named else b""
    return Keyring([*named, *(key for key in keys if key.id not in known)], secret)


def _ids(keys: Iterable[Key]) -> list[str]:
    return [key.id for key in keys]


def _told(lacking: Iterable[str], given: Iterable[str]) -> str:
    """Which keys are missing, and what to do, in words."""
    names = ", ".join(lacking)
    others = ", ".join(given)
    if not others:
        return f"its texts are sealed with key {names}: add it to outbox.keys"
    return (
        f"its texts are sealed with key {names}, which outbox.keys lacks (it has {others}): add it "
        "there after the first one, and keep it until `gateway outbox reseal` has sealed "
        "everything with the first"
    )


def _secret_in(key: Key, sealed: str, place: object) -> bytes:
    from gateway_contrib.durable.sealing.ciphers import Damaged  # noqa: PLC0415 - an extra

    try:
        return key.open(sealed, _place(key.id))
    except Damaged:
        told = f"it is damaged: its entry for key {key.id} was changed"
        raise OutboxError(f"outbox {place} cannot be opened: {told}") from None


def _place(name: str) -> bytes:
    return f"keyring:{name}".encode()
