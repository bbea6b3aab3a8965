"""What an envelope would become, before anything is sent. Never waits."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from gateway_core.config import GatewayConfig
from gateway_core.contract.envelopes import Call, Edit, Envelope, MessageRef, Part, Send
from gateway_core.contract.errors import ConfigError, Problem
from gateway_core.contract.hookspecs import Limit
from gateway_core.contract.instances import Instance
from gateway_core.deliveries.step_files import misplaced, with_held
from gateway_core.files.looking import seen_at_once
from gateway_core.plugins.front import ChannelHooks
from gateway_core.plugins.loader import Given, bind
from gateway_core.submission.checks import problems_of
from gateway_core.submission.plain import plain


@attrs.frozen(kw_only=True)
class Preview:
    """What would become of an envelope.

    problems  why it would be refused; empty: it would be accepted, if there were a slot for it
    parts     the platform messages that a `Send` or an `Edit` becomes, as far as there is a plan
    limits    every limit that each of its attempts draws on
    """

    problems: tuple[Problem, ...]
    parts: tuple[Part, ...]
    limits: tuple[Limit, ...]


def preview(
    instance: Instance,
    envelope: Envelope,
    *,
    config: GatewayConfig | None = None,
    plugins: Sequence[Given] = (),
) -> Preview:
    """What would become of `envelope` on `instance`, without a gateway and without a network.

    Calls `validate`, `chunk` and `rate_limit` as a gateway does: those of given and installed
    policies first. `config` has the bounds and the plugins allowed. Raises `PluginError` if plugins
    cannot be bound, `ConfigError` for a channel that no plugin serves or settings of another
    channel, and `HookContractError` if a hook fails.
    """
    config = config or GatewayConfig()
    hooks = bind(plugins, config.plugins)
    if instance.channel not in hooks:
        served = ", ".join(sorted(hooks)) or "none"
        text = f"no plugin serves channel {instance.channel!r}; bound: {served}"
        raise ConfigError([Problem(f"instances.{instance.id}.channel", text)])
    if unfit := hooks[instance.channel].unfit(instance):
        raise ConfigError([Problem(f"instances.{instance.id}.settings", unfit)])
    return foresee(hooks[instance.channel], instance, envelope, config)


def foresee(
    hooks: ChannelHooks,
    instance: Instance,
    envelope: Envelope,
    config: GatewayConfig,
    address: str = "",
) -> Preview:
    """The same with bound hooks; `address` is the room's present one."""
    problems = problems_of(envelope)
    if problems:
        return Preview(problems=tuple(problems), parts=(), limits=())
    envelope = plain(envelope)
    if isinstance(envelope, Send | Edit) and envelope.files:
        found, problems = seen_at_once(envelope.files)
        if problems:
            return Preview(problems=tuple(problems), parts=(), limits=())
        envelope = attrs.evolve(envelope, files=found)
    parts, problems = planned(hooks, instance, envelope, config.max_parts)
    room = address or envelope.external_room_id
    thread = envelope.thread_id if hooks.traits.independent_threads else None
    limits = hooks.rate_limit(instance, room, thread, envelope.operation, envelope.priority)
    return Preview(problems=tuple(problems), parts=parts, limits=limits)


def _with_held(message: Send | Edit) -> Send | Edit:
    """An edit with the files that its message is known to keep."""
    if isinstance(message, Edit) and isinstance(message.target, MessageRef):
        files = with_held(message.files, message.target.parts)
        if files:
            return attrs.evolve(message, files=files)
    return message


def planned(
    hooks: ChannelHooks, instance: Instance, envelope: Envelope, most: int
) -> tuple[tuple[Part, ...], list[Problem]]:
    """The plan of an envelope without problems of its own, and the problems of its channel."""
    operation = "call" if isinstance(envelope, Call) else envelope.operation
    problems = hooks.validate(instance, envelope)
    if operation not in hooks.can or not getattr(hooks.traits, operation, True):
        text = f"channel {hooks.channel!r} has no {operation}"
        problems = [Problem("operation", text), *problems]
    named = isinstance(envelope, (Send, Edit)) and type(envelope.mentions) is not bool
    if named and not hooks.traits.mentions_by_id:
        text = f"channel {hooks.channel!r} cannot notify just some: must be true or false"
        problems = [Problem("mentions", text), *problems]
    if problems or not isinstance(envelope, (Send, Edit)):
        return (), problems
    shown = _with_held(envelope)
    plan = hooks.chunk(instance, shown, "as_asked")
    fault = misplaced(plan, len(shown.files or ()))
    if not plan:
        problems = [Problem("text", "leaves nothing to send")]
    elif fault is not None:
        problems = [Problem("files", fault)]
    elif len(plan) > most:
        problems = [Problem("text", f"needs {len(plan)} messages, at most {most}")]
    return plan, problems
