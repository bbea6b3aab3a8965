"""Hides secrets in envelopes: tokens, keys and your own words become `[hidden]`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from gateway_contrib.policies.arguments import many
from gateway_contrib.policies.escapes import seen
from gateway_core import Button, Call, Edit, Envelope, File, Poll, Secret, Send
from gateway_core.authors import hookimpl
from gateway_core.settings import text

SECRETS: tuple[str, ...] = (
    r"\b\d{8,10}:[A-Za-z0-9_-]{35}\b",  # a bot of Telegram
    r"\bx(?:ox[abeprs]|app)-[A-Za-z0-9-]{10,}",  # Slack
    r"\b[MNO][A-Za-z0-9_-]{23,27}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,}",  # a bot of Discord
    r"https://(?:hooks\.slack\.com/services|discord(?:app)?\.com/api/webhooks)/[^\s)>\]]+",
    r"\bgh[oprsu]_[A-Za-z0-9]{36,}",  # GitHub
    r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b",  # an access key of AWS
    r"\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+",  # a JSON web token
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
)
"""Patterns of tokens and keys that people paste by mistake."""
MOST = 10
"""How many times a text is searched: hiding one secret may join the halves of another secret."""


def _patterns(values: Iterable[str]) -> tuple[re.Pattern[str], ...]:
    found = many("patterns", "regular expressions", values, _is_pattern)
    try:
        return tuple(re.compile(value) for value in found)
    except (re.error, TypeError) as error:
        raise ValueError(f"'patterns' must be regular expressions: {error}") from None


def _is_pattern(value: object) -> bool:
    return isinstance(value.pattern if isinstance(value, re.Pattern) else value, str)


def _words(values: Iterable[str | Secret]) -> tuple[str, ...]:
    what = "texts or Secrets, none of them empty"
    found = many("words", what, values, lambda one: one and isinstance(one, str | Secret), _kind)
    words = [value.reveal() if isinstance(value, Secret) else value for value in found]
    return tuple(sorted(words, key=len, reverse=True))


def _kind(value: object) -> str:
    """How an error shows a wrong word, which may be a secret."""
    return f"one of the class {type(value).__name__}" if value else "an empty one"


@attrs.define(eq=False, repr=False)
class Masking:
    """Hides secrets in texts, in the platform's own fields (`extra`) and in a call's arguments.

    It hides them in all fields of buttons, in a poll's question and options, and in names and
    descriptions of files, but does not read the content of files.

    patterns  regular expressions of the texts to hide, `SECRETS` by default
    words     texts to hide wherever they occur, such as the application's own passwords
    by        the text that replaces them

    Secrets are found as people see them too: written with backslashes or as entities (`&#45;`), in
    texts of any format. A secret that is split by other formatting is not found. A policy after
    this one may bring a secret back, so give this one last.
    """

    patterns: tuple[re.Pattern[str], ...] = attrs.field(default=SECRETS, converter=_patterns)
    words: tuple[str, ...] = attrs.field(default=(), kw_only=True, converter=_words)
    by: str = attrs.field(default="[hidden]", kw_only=True, validator=text)

    def __attrs_post_init__(self) -> None:
        if self._once(self.by) != self.by:
            raise ValueError(f"'by' must not match 'patterns' or 'words', as {self.by!r} does")

    @hookimpl
    def rewrite(self, envelope: Envelope) -> Envelope | None:
        """The envelope without secrets. Raises, and so refuses it, if they cannot be hidden."""
        if isinstance(envelope, Send | Edit):
            shown, extra = self.hidden(envelope.text), self._all(envelope.extra)
            files: Any = envelope.files and tuple(map(self._named, envelope.files))
            rows: Any = envelope.buttons and [list(map(self._button, r)) for r in envelope.buttons]
            changes: dict[str, Any] = {"text": shown, "extra": extra, "files": files}
            changes["buttons"] = rows
            if isinstance(envelope, Send) and envelope.poll is not None:
                changes["poll"] = self._asked(envelope.poll)
            changed = attrs.evolve(envelope, **changes)
            return None if changed == envelope else changed
        if isinstance(envelope, Call):
            arguments = self._all(envelope.arguments)
            same = arguments == envelope.arguments
            return None if same else attrs.evolve(envelope, arguments=arguments)
        return None

    def _button(self, button: Button) -> Button:
        parts = {"text": button.text, "value": button.value, "url": button.url}
        return attrs.evolve(button, **{name: self._all(part) for name, part in parts.items()})

    def _named(self, file: File) -> File:
        return attrs.evolve(file, name=self.hidden(file.name), alt=self.hidden(file.alt))

    def _asked(self, poll: Poll) -> Poll:
        options = tuple(map(self.hidden, poll.options))
        return attrs.evolve(poll, question=self.hidden(poll.question), options=options)

    def hidden(self, words: str) -> str:
        """The text without secrets. Raises ValueError if each pass finds another one."""
        for _ in range(MOST):
            before, words = words, self._once(words)
            if words == before:
                return words
        raise ValueError("hiding one secret made another one, 10 times: this text cannot be masked")

    def _once(self, words: str) -> str:
        for word in self.words:
            words = words.replace(word, self.by)
        for pattern in self.patterns:
            words = pattern.sub(lambda _found: self.by, words)
        for pattern in (*(re.compile(re.escape(word)) for word in self.words), *self.patterns):
            shown = seen(words)
            if shown is None:
                break
            words = shown.replaced(words, pattern, self.by)
        return words

    def _all(self, value: Any) -> Any:
        """Plain JSON without secrets, also in its keys."""
        if isinstance(value, str):
            return self.hidden(value)
        if isinstance(value, Mapping):
            return {self.hidden(key): self._all(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self._all(item) for item in value]
        return value
