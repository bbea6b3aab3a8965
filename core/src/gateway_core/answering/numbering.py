"""Numbers the answers to one event, and names the idempotency key of each. Sans-I/O.

Answers to the same event *object* are counted on; for another object of the same event, counting
begins anew. A handler that answers twice holds one object, so its second answer is another message.
A webhook that is delivered again makes a new object, and the first answer to this object has the
key of the event's very first answer. So the event is answered once, even while that answer is still
under way, and after a restart.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import attrs

MOST = 4_096
"""The most events whose answers are counted, those answered last; their objects are kept alive."""


@attrs.define(eq=False)
class _Counted:
    event: Any
    numbered: int = 0


class AnswerNumbers:
    """Counts the answers to each of the last `most` event objects.

    For an object that was forgotten meanwhile, counting begins anew, so that a further answer may
    get the key of the first one: name the answers of such long conversations with `key=`.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._counted: OrderedDict[int, _Counted] = OrderedDict()

    def next_key(self, event: Any, natural: str | None, name: str | None) -> str | None:
        """The key of the next answer to the event; None: the event has no id.

        natural  the event's own id
        name     the answer's name; None: it is numbered, among the answers without a name
        """
        # The object is kept alive, so that no other object gets its `id`.
        counted = self._counted.pop(id(event), None) or _Counted(event)
        self._counted[id(event)] = counted
        if len(self._counted) > self._most:
            self._counted.popitem(last=False)
        if name is not None:
            return name if natural is None else f"{natural}={name}"
        number = counted.numbered
        counted.numbered += 1
        return f"{natural}#{number + 1}" if number and natural is not None else natural
