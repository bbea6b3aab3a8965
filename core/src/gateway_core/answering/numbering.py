"""Numbers the answers to one event, and names the idempotency key of each. Sans-I/O.

The same event *object* counts on; another object of the same event begins anew. A handler that
answers twice holds one object, so its second answer is another message. A webhook that is delivered
again makes a new object, whose first answer has the key of the first answer that was given: it is
answered once, also while the first is still under way, and after a restart.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import attrs

MOST = 4_096
"""Events whose answers are counted, those answered last: their objects are kept alive so long."""


@attrs.define(eq=False)
class _Counted:
    event: Any
    numbered: int = 0


class AnswerNumbers:
    """Counts the answers to each event object, the last `most` of them.

    An object that was forgotten meanwhile begins anew, so that a further answer to it may take the
    key of its first: name the answers of such long conversations with `key=`.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._counted: OrderedDict[int, _Counted] = OrderedDict()

    def next_key(self, event: Any, natural: str | None, name: str | None) -> str | None:
        """The key of the next answer to the event; None: the event has no id.

        natural  the event's own id
        name     names the answer; None: it is numbered, among those that are not named
        """
        # The object is kept, so that no other one gets its identity.
        counted = self._counted.pop(id(event), None) or _Counted(event)
        self._counted[id(event)] = counted
        if len(self._counted) > self._most:
            self._counted.popitem(last=False)
        if name is not None:
            return name if natural is None else f"{natural}={name}"
        number = counted.numbered
        counted.numbered += 1
        return f"{natural}#{number + 1}" if number and natural is not None else natural
