"""Validates fields: a `ValueError` names the field, what it must be, and what it was. Sans-I/O."""

from __future__ import annotations

import operator
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from math import inf, isfinite
from pathlib import Path
from typing import Any, TypeAlias, TypeGuard

import attrs

Validator: TypeAlias = Callable[[Any, "attrs.Attribute[Any]", Any], None]

WIDEST = 2**64
"""Largest whole number: JSON has no bound, but its readers do, and Python's is 4,300 digits."""
LONGEST_NAME = 1024
"""Characters of an id or a key: no platform has longer ones, and each is held in memory."""
LONGEST = 1e9
"""Seconds, some thirty years: longer waits are mistakes, and 64 bits of nanoseconds hold them."""
EARLIEST = LONGEST
"""Earliest POSIX time, in 2001: a smaller number is a span in seconds, written by mistake."""
LATEST = 8e9
"""Latest POSIX time, in 2223: with the longest span added, its nanoseconds fit 64 bits."""
MOST = 10**9
"""Largest count: a larger one is a mistake, and calculations with counts stay exact."""
SHORTEST = 0.001
"""Shortest time, in seconds: no event loop makes a thousand turns a second."""
UNSENDABLE = "has a lone surrogate or NUL"
SHOWN = 200
"""Most characters of a wrong value that an error shows."""
SHOWN_OF_GROUP = 10
"""Most errors of a group whose words are shown."""
DEEPEST = 32
"""Most levels of a table."""
MANY = 10_000
"""Most values in a table on all levels; a table that holds itself twice would have billions."""
HELD = 100_000
"""Most values in a platform's answer to a call, on all levels."""
LONGEST_HELD = 1 << 22
"""Most characters in all texts of such an answer."""


def copied(value: Any) -> Any:
    """A copy of a table with all of its content, so that nobody can change it later.

    Any other value stays as it is, and so does content beyond `DEEPEST` or `MANY`; later checks
    refuse both.
    """
    if type(value) is dict and not value:  # the common case
        return {}
    if not isinstance(value, Mapping):
        return value
    left = MANY

    def own(value: Any, depth: int) -> Any:
        nonlocal left
        left -= 1
        if left < 0 or depth > DEEPEST:
            return value
        if isinstance(value, Mapping):
            return {key: own(item, depth + 1) for key, item in value.items()}
        if type(value) in (list, tuple):
            return type(value)([own(item, depth + 1) for item in value])
        return value

    try:
        return own(value, 0)
    except ValueError:
        raise
    except Exception as error:  # a table of a class of its own may raise anything
        raise ValueError(f"it cannot be read ({type(error).__name__})") from error


def is_whole(value: object) -> TypeGuard[int]:
    """Whether the value is a whole number, and not a bool."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: object) -> TypeGuard[float]:
    """Whether the value is a number, `nan` and infinity included, and not a bool."""
    return isinstance(value, float) or is_whole(value)


def is_finite(value: object) -> TypeGuard[float]:
    """Whether the value is a number that a float can hold, and not a bool."""
    return is_number(value) and -sys.float_info.max <= value <= sys.float_info.max


def shown(value: object) -> str:
    """The value as an error shows it, in at most `SHOWN` characters."""
    try:
        text = "a number too large" if is_whole(value) and abs(value) > WIDEST else repr(value)
    except Exception:  # noqa: BLE001 - Python refuses to write out very long numbers, too
        return f"a {type(value).__name__} whose repr fails"
    return cut(text)


def cut(text: str) -> str:
    """The text's first `SHOWN` characters; the last one is an ellipsis if there were more."""
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"


def words_of(error: BaseException) -> str:
    """The error's class and words; of a group, also those of the first errors in it."""
    if not isinstance(error, BaseExceptionGroup):
        return _own_words(error)
    inner = [_own_words(each) for each in error.exceptions[:SHOWN_OF_GROUP]]
    more = ["…"] if len(error.exceptions) > SHOWN_OF_GROUP else []
    return f"{_own_words(error)}: {'; '.join([*inner, *more])}"


def _own_words(error: BaseException) -> str:
    """The error's class and words; only its class if somebody's `__str__` raises."""
    kind = type(error).__name__
    try:
        return f"{kind}: {error}"
    except Exception:  # noqa: BLE001 - it may raise anything
        return kind


def printable(text: str) -> str:
    """The text on one line and safe for a terminal: control characters are written as escapes."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else " " if c in "\n\r\t" else ascii(c)[1:-1] for c in text)


def name_fault(value: object) -> str | None:
    """What is wrong with an id or a key, in words; None: nothing."""
    if not isinstance(value, str):
        return f"must be a text, not {type(value).__name__}"
    if not value:
        return "is empty"
    if len(value) > LONGEST_NAME:
        return f"has {len(value)} characters, at most {LONGEST_NAME}"
    if not is_sendable(value):
        return UNSENDABLE
    if not value.isprintable() and any(ord(c) < 32 for c in value):  # noqa: PLR2004 - C0 controls
        return "has a control character"
    return None


def is_sendable(text: str) -> bool:
    """Whether UTF-8 and every platform can carry the text."""
    try:
        return "\x00" not in text and (text.isascii() or bool(text.encode()))
    except UnicodeEncodeError:
        return False


def plain_json(value: object) -> Any:
    """A copy of plain JSON in Python's own types, which every outbox can store.

    Raises `ValueError` that says what is wrong. The work is bounded, even for a value that holds
    itself, once or many times.
    """
    try:
        return _Copying().of(value, 0)
    except ValueError:
        raise
    except Exception as error:  # a table of a class of its own may raise anything
        raise ValueError(f"it cannot be read ({type(error).__name__})") from error


class _Copying:
    """Copies plain JSON, and refuses values beyond the bounds."""

    def __init__(self) -> None:
        self._left, self._room = HELD, LONGEST_HELD

    def of(self, value: object, depth: int) -> Any:
        self._left -= 1
        if self._left < 0:
            raise ValueError(f"it holds more than {HELD} values")
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, int | float):
            return _finite(value)
        if depth >= DEEPEST:
            raise ValueError(f"it is nested deeper than {DEEPEST}")
        if isinstance(value, Mapping):
            return {self._name(key): self.of(item, depth + 1) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.of(item, depth + 1) for item in value]
        raise ValueError(f"it holds a value of the class {type(value).__name__}")

    def _name(self, key: object) -> str:
        if isinstance(key, str):
            return self._text(key)
        text = f"it has a key of the class {type(key).__name__}"
        raise ValueError(text)

    def _text(self, text: str) -> str:
        self._room -= len(text)
        if self._room < 0:
            raise ValueError(f"it holds more than {LONGEST_HELD} characters")
        if not is_sendable(text):
            raise ValueError(f"a text in it {UNSENDABLE}")
        return str.__str__(text)


def _finite(value: float) -> float:
    """The number as Python's own int or float, if every JSON reader can read it."""
    if isinstance(value, int):
        if abs(value) > WIDEST:
            raise ValueError("a number in it has more than 64 bits")
        return int(value)
    if not isfinite(value):
        raise ValueError("a number in it is not finite")
    return float(value)


def name(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """The value is a valid id or key."""
    if fault := name_fault(value):
        words = fault if fault.startswith("must") else f"must be a name: it {fault}"
        raise ValueError(f"'{attribute.name}' {words}")


def must_be(wanted: str, fits: Callable[[Any], bool]) -> Validator:
    """A value that fits."""

    def check(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
        if not fits(value):
            raise ValueError(f"'{attribute.name}' must be {wanted}, not {shown(value)}")

    return check


def all_of(*checks: Validator) -> Validator:
    """A value that passes all of these validators."""

    def check(settings: Any, attribute: attrs.Attribute[Any], value: object) -> None:
        for one in checks:
            one(settings, attribute, value)

    return check


def as_path(value: object) -> Any:
    """A field's converter from a text to a path. Other values stay as they are, for validators."""
    return Path(value) if isinstance(value, str) and value else value


flag = must_be("true or false", lambda value: isinstance(value, bool))
"""True or false. Values that only count as true or false are refused, such as the text "no"."""
table = must_be("a table", lambda value: isinstance(value, Mapping))


def whole(*, least: int, most: int | None = None) -> Validator:
    """A whole number within these bounds; without `most`, at most `MOST`."""
    wanted = f"a whole number of at least {least}"
    if most is not None:
        wanted = f"a whole number from {least} to {most}"
    above = must_be(wanted, lambda value: is_whole(value) and value >= least)
    wanted = f"a whole number of at most {MOST}" if most is None else wanted
    below = must_be(wanted, lambda value: value <= (MOST if most is None else most))
    return all_of(above, below)


def number(
    *, least: float | None = None, above: float | None = None, most: float = LONGEST
) -> Validator:
    """A number within these bounds; never `nan`, and infinity only if `most` is infinite."""
    words = [("at least", least), ("above", above), ("at most", most)]
    wanted = "a number " + " and ".join(
        f"{word} {n:g}" for word, n in words if n is not None and n != inf
    )

    def fits(value: Any) -> bool:
        return (
            (is_finite(value) or value in (inf, -inf))
            and (least is None or value >= least)
            and (above is None or value > above)
            and value <= most
        )

    return must_be(wanted, fits)


def time_fault(value: object) -> str | None:
    """What is wrong with a POSIX time, in words; None: nothing."""
    if not is_finite(value):
        return f"must be a finite number of seconds, not {shown(value)}"
    if not EARLIEST <= value <= LATEST:
        bounds = f"from {EARLIEST:.0f} to {LATEST:.0f}"
        return f"must be a POSIX time in seconds, {bounds}, not {shown(value)}"
    return None


def posix_time() -> Validator:
    """A POSIX time in seconds, and not a span."""
    wanted = f"a POSIX time in seconds, from {EARLIEST:.0f} to {LATEST:.0f}"
    return must_be(wanted, lambda value: time_fault(value) is None)


def one_of(*allowed: str) -> Validator:
    """One of these words."""
    return must_be("one of " + ", ".join(map(repr, allowed)), allowed.__contains__)


def instance(kind: type) -> Validator:
    """A value of that class."""
    wanted = "a text" if kind is str else f"of the class {kind.__name__}"
    return must_be(wanted, lambda value: isinstance(value, kind))


text = must_be(
    "a text of printable characters",
    lambda value: isinstance(value, str) and value != "" and value.isprintable(),
)
"""A text on one line that is not empty, and whose characters can all be seen and sent."""


texts = must_be(
    "a set of texts",
    lambda value: (
        isinstance(value, set | frozenset | list | tuple) and all(isinstance(x, str) for x in value)
    ),
)
"""Several texts, never one: each piece of a text is found in it as well."""


def matching(pattern: str, words: str) -> Validator:
    """A text of this form, which `words` describe in errors."""
    form = re.compile(pattern)
    return must_be(words, lambda value: isinstance(value, str) and bool(form.fullmatch(value)))


def mapping_of(kind: type, is_key: Callable[[str], bool], words: str) -> Validator:
    """A table of values of the class `kind`, by keys that `words` describe."""

    def check(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
        if not isinstance(value, Mapping):
            raise ValueError(f"'{attribute.name}' must be a table, not {shown(value)}")  # noqa: TRY004 - as all validators
        for key, one in value.items():
            if not isinstance(key, str) or not is_key(key):
                raise ValueError(f"'{attribute.name}' must have {words} as keys, not {key!r}")
            if not isinstance(one, kind):
                wanted = f"of the class {kind.__name__} for {key!r}"
                raise ValueError(f"'{attribute.name}' must be {wanted}, not {shown(one)}")  # noqa: TRY004 - likewise

    return check


# -- relations between settings: declared at the later setting, since both are known there


def at_least(other: str) -> Validator:
    """At least as much as the setting `other`, which stands before it in the same table."""
    return _related(other, "at least", operator.ge)


def at_most(other: str) -> Validator:
    """At most as much as the setting `other`, which stands before it in the same table."""
    return _related(other, "at most", operator.le)


def above(other: str) -> Validator:
    """More than the setting `other`, which stands before it in the same table."""
    return _related(other, "above", operator.gt)


def _related(other: str, words: str, fits: Callable[[Any, Any], bool]) -> Validator:
    def check(settings: Any, attribute: attrs.Attribute[Any], value: object) -> None:
        bound = getattr(settings, other, None)  # None: it has a mistake of its own
        if is_number(bound) and is_number(value) and not fits(value, bound):
            wanted = f"{words} `{other}`, which is {shown(bound)}"
            raise ValueError(f"'{attribute.name}' must be {wanted}, not {shown(value)}")

    return check


def together(*others: str) -> Validator:
    """Given with all of these settings, or with none of them; None counts as not given."""

    def check(settings: Any, attribute: attrs.Attribute[Any], value: object) -> None:
        given = {name: getattr(settings, name, None) is not None for name in others}
        if len({value is not None, *given.values()}) > 1:
            names = " and ".join(f"`{name}`" for name in others)
            missing = [name for name, there in given.items() if not there]
            missing += [] if value is not None else [attribute.name]
            raise ValueError(
                f"'{attribute.name}' must be given together with {names}: {_lacking(missing)}"
            )

    return check


def alongside(other: str) -> Validator:
    """Given only together with the setting `other`, which may also be given alone."""

    def check(settings: Any, attribute: attrs.Attribute[Any], value: object) -> None:
        if value is not None and getattr(settings, other, None) is None:
            words = f"must be given together with `{other}`: {_lacking([other])}"
            raise ValueError(f"'{attribute.name}' {words}")

    return check


def in_place_of(other: str) -> Validator:
    """Given in place of the setting `other`, which is declared before it; one must be given."""

    def check(settings: Any, attribute: attrs.Attribute[Any], value: object) -> None:
        given = getattr(settings, other) is not None
        if value is not None and given:
            raise ValueError(f"'{attribute.name}' must not be given together with `{other}`")
        if value is None and not given:
            raise ValueError(f"'{other}' must be given if `{attribute.name}` is not")

    return check


def _lacking(names: Sequence[str]) -> str:
    verb = "is" if len(names) == 1 else "are"
    return f"{' and '.join(f'`{name}`' for name in names)} {verb} missing"


BELOW = "gateway_core.below"
"""In a field's metadata: the gateway's setting that the field must be less than."""
ACCOUNT = {"gateway_core.account": True}
"""A field's metadata: two instances of a channel must differ in one of the fields that have it."""


def below_gateway(name: str) -> Mapping[str, str]:
    """A field's metadata: less than the gateway's setting `name`, such as `attempt_timeout`."""
    return {BELOW: name}
