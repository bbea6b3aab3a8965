"""Declares every attribute of metrics, spans and span events. Sans-I/O."""

from __future__ import annotations

from gateway_core.telemetry.kinds import Attribute

CHANNEL = Attribute("messaging.system", "a channel's name", "the channel")
INSTANCE = Attribute(
    "gateway.instance", "an id; in metrics `*` for all that an `instance_source` gives",
    "the instance",
)  # fmt: skip
PARTITION = Attribute("gateway.partition", "0 to `partition_count` - 1", "the partition")
ACCEPTED_UNDER = Attribute(
    "gateway.pressure",
    "`nominal`, `elevated`, `high`, `saturated`",
    "the pressure of its partition as the envelope was accepted, or came back from the outbox",
)
OPERATION = Attribute(
    "messaging.operation.name",
    "`send`, `edit`, `delete`, `call`; of attempts also `draft`, `start`, `append`, `stop`",
    "what is done to a message",
)
OPERATION_TYPE = Attribute(
    "messaging.operation.type", "`create` (envelope), `send` (attempt)", "the convention's own word"
)
DISPOSITION = Attribute("gateway.disposition", "a disposition", "how the envelope ended")
ERROR_CLASS = Attribute(
    "gateway.error_class",
    "`none`, `retryable`, `non_retryable`, `fatal`, `done`",
    "what the verdict said happens next; `none`: the platform said yes",
)
ERROR_TYPE = Attribute(
    "error.type",
    "a normalised reason, or the name of a refusal; of a span whose envelope has neither, its "
    "disposition",
    "why it failed; absent where it did not",
)
CAUSE = Attribute(
    "gateway.wait.cause",
    "`queue`, `slots`, `room limit`, `account limit`, `retry`, `outcome unknown`, `circuit`, "
    "`suspension`, `schedule`, `target`, `outbox`, `stream`",
    "what the envelope waited for",
)
FORESEEN = Attribute(
    "gateway.foreseen",
    "`true`, `false`",
    "`true` if a limit that the attempt used was closed already when its 429 came",
)
DEGRADATION = Attribute(
    "gateway.degradation",
    "`planned`, `stricter`, `plain`, `reply dropped`",
    "what the message lost of its look; `planned`: the channel cannot show it",
)
GROUP_STATE = Attribute(
    "gateway.group.state",
    "`fed`, `scheduled`, `paused`, `cancelled`",
    "what becomes of members that wait: their turns come as the limits allow, at the group's time, "
    "once somebody resumes it, or never",
)
SIGN = Attribute("gateway.sign", "`typing`, `acknowledge`", "what the sign says")
SIGN_OUTCOME = Attribute(
    "gateway.sign.outcome",
    "`made`, `passed over`, `failed`",
    "what became of it; `passed over`: no token was left that no message needs",
)
PLUGIN = Attribute("gateway.plugin", "a plugin's label", "whose hookimpl it is")
HOOK = Attribute("gateway.hook", "a hook's name", "which hook")
SIGNAL = Attribute("gateway.signal", "`traces`, `metrics`", "what was to be exported")

ENVELOPE_ID = Attribute("messaging.message.id", "an envelope's id", "the envelope")
ROOM = Attribute(
    "messaging.destination.name",
    'a pseudonym; the id with `telemetry.rooms = "plain"`, absent with `"none"`',
    "the room",
)
PRIORITY = Attribute("gateway.class", "`urgent`, `normal`, `bulk`", "the envelope's class")
RECOVERED = Attribute(
    "gateway.recovered", "`true`", "it came back from the outbox, usually of a previous run"
)
PARTS = Attribute("gateway.parts", "a number", "the platform messages that it became")
ATTEMPTS = Attribute("gateway.attempts", "a number", "tries over all of its parts")
POSSIBLE_DUPLICATE = Attribute(
    "gateway.possible_duplicate", "`true`", "a part may stand in the room more than once"
)
ATTEMPT = Attribute("gateway.attempt", "1 and up", "which try of its part")
PART = Attribute("gateway.part", "0 and up", "which part")
SECONDS = Attribute("gateway.wait.seconds", "seconds", "how long it waited")

ATTRIBUTES = tuple(thing for thing in list(vars().values()) if isinstance(thing, Attribute))
