"""Inspects a plugin before it is registered, to find faults that would show only in use."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from gateway_core.contract import hookspecs
from gateway_core.contract.errors import Problem
from gateway_core.contract.hookspecs import CONTRACT_VERSION
from gateway_core.contract.problems import meant
from gateway_core.contract.validators import shown

ATTEMPTS = frozenset({"send", "edit", "delete", "call", "stream"})
ASYNC_HOOKS = ATTEMPTS | {"credentials", "probe"}
CONTEXTS = ("open_session", "open_telemetry")
"""Hooks whose answer is an async context manager."""
OBSERVERS = frozenset(
    {
        "after_attempt",
        "after_disposition",
        "after_refusal",
        "pressure_changed",
        "instance_suspended",
        "room_moved",
    }
)
SIGNS = ("typing", "mark", "acknowledge")
"""Hooks whose answer is a call."""
ONE_BY_ONE = OBSERVERS | {"admit", "rewrite"}
REQUIRED = ("settings_type", "send")
UNMARKED = " (it is there, without @hookimpl)"
NEVER_CALLED = "has a hook's name and parameters, and is never called: mark it with @hookimpl"
SPECS: Mapping[str, Any] = {
    name: function
    for name, function in vars(hookspecs).items()
    if inspect.isfunction(function) and hasattr(function, "gateway_spec")
}


@attrs.frozen
class Plugin:
    """A plugin that was found.

    name          the entry point's name, or the object's own
    channel       the channel that it serves (adapters) or is limited to (policies); None: all
    adapter       whether it serves its channel
    distribution  the distribution's name and version; empty if the plugin was given in code
    """

    name: str
    module: Any
    channel: str | None = None
    adapter: bool = False
    distribution: str = ""

    @property
    def label(self) -> str:
        """The plugin's name in messages."""
        return f"{self.name} ({self.distribution})" if self.distribution else self.name


def inspect_plugin(plugin: Plugin) -> list[Problem]:
    """Every fault of one plugin, before anything is registered."""
    problems = []
    try:
        hash(plugin.module)  # pluggy needs it for its sets; the value is not used
    except TypeError:
        problems.append(Problem(plugin.label, "must be hashable"))
    problems += [Problem(plugin.label, text) for text in _version_faults(plugin)]
    impls: dict[str, str] = {}
    for name in dir(plugin.module):
        function = inspect.getattr_static(plugin.module, name, None)
        if (opts := impl_of(function)) is None:
            if name not in REQUIRED and _is_meant_as_hook(name, _plain(function)):
                problems.append(Problem(f"{plugin.label}: {name}", NEVER_CALLED))
            continue
        hook = opts["specname"] or name
        texts = list(_faults(plugin, hook, _plain(function), opts))
        if (other := impls.setdefault(hook, name)) != name:
            texts.append(f"implements the hook {hook!r} once more, after {other!r}")
        problems += [Problem(f"{plugin.label}: {name}", text) for text in texts]
    if plugin.adapter and plugin.channel is None:
        problems.append(Problem(plugin.label, 'an adapter must be given as ("channel", plugin)'))
    if plugin.adapter:
        missing = [_missing(plugin, hook) for hook in REQUIRED if hook not in impls]
        problems += [Problem(plugin.label, text) for text in missing]
    return problems


def _is_meant_as_hook(name: str, function: Any) -> bool:
    """Whether a function without the mark looks like an implementation of the hook of its name."""
    spec = SPECS.get(name)
    if spec is None or not inspect.isfunction(function):
        return False
    given = inspect.signature(function).parameters.keys() - {"self", "cls"}
    known = inspect.signature(spec).parameters.keys()
    is_async = inspect.iscoroutinefunction(function)
    return bool(given) and given <= known and is_async == (name in ASYNC_HOOKS)


def _missing(plugin: Plugin, hook: str) -> str:
    unmarked = callable(getattr(plugin.module, hook, None))
    return f"required hook {hook} is missing{UNMARKED if unmarked else ''}"


def has_hook(module: object, name: str) -> bool:
    """Whether the plugin implements the hook in a function of the hook's name."""
    return impl_of(getattr(module, name, None)) is not None


def impl_of(function: object) -> Mapping[str, Any] | None:
    """The marker's options, if `function` is a hookimpl; else None."""
    opts = getattr(_plain(function), "gateway_impl", None)
    return opts if isinstance(opts, dict) else None


def _plain(function: Any) -> Any:
    return getattr(function, "__func__", function)


def _version_faults(plugin: Plugin) -> Iterable[str]:
    """Faults of the plugin's contract version, which only a policy given in code may leave out."""
    may_be_missing = not plugin.adapter and not plugin.distribution
    none = CONTRACT_VERSION if may_be_missing else None
    version = getattr(plugin.module, "GATEWAY_CONTRACT", none)
    if version is None:
        yield f"names no contract version: GATEWAY_CONTRACT = {CONTRACT_VERSION} is missing"
    elif not isinstance(version, int):
        yield f"GATEWAY_CONTRACT must be a whole number, not {shown(version)}"
    elif version != CONTRACT_VERSION:
        served = f"this release serves {CONTRACT_VERSION} (GATEWAY_CONTRACT)"
        yield f"is written for contract version {version}; {served}"


def _not_of_a_policy(plugin: Plugin, hook: str) -> str:
    """Say why a policy has no async hook, and which hooks it can use instead."""
    text = "only a channel's adapter may implement it: leave it out of a policy"
    if hook in ATTEMPTS:
        text += "; a policy changes a message in `rewrite`, refuses it in `validate` and learns of"
        text += " attempts in `after_attempt`"
    if hook == "send" and plugin.channel is None and not plugin.distribution:
        text += '; an adapter must be given as ("channel", plugin)'
    return text


def _faults(plugin: Plugin, hook: str, function: Any, opts: Mapping[str, Any]) -> Iterable[str]:
    spec = SPECS.get(hook)
    if spec is None:
        yield f"there is no hook {hook!r}{meant(hook, SPECS)}"
        return
    yields = inspect.isasyncgenfunction(function)
    if yields and hook in CONTEXTS:
        yield "an async generator is not a context manager: decorate it with @asynccontextmanager"
    elif yields and hook in ASYNC_HOOKS:
        yield "must not `yield`: it has one answer, which it returns"
    elif yields or inspect.iscoroutinefunction(function) != (hook in ASYNC_HOOKS):
        plain = "must be a plain `def`: it is called without waiting"
        yield "must be `async def`" if hook in ASYNC_HOOKS else plain
    yield from _parameter_faults(spec, function, in_module=inspect.ismodule(plugin.module))
    wraps = opts["wrapper"] or opts["hookwrapper"]
    if hook in ASYNC_HOOKS and not plugin.adapter:
        yield _not_of_a_policy(plugin, hook)
    elif hook in ASYNC_HOOKS and wraps:
        yield "async hooks take no wrapper: it would end before the await"
    elif wraps and hook in ONE_BY_ONE:
        yield "takes no wrapper: its impls are called one by one"
    elif plugin.adapter and (wraps or opts["tryfirst"] or opts["trylast"]):
        yield "adapters use neither tryfirst nor trylast nor wrappers"


def _parameter_faults(spec: Any, function: Any, *, in_module: bool) -> Iterable[str]:
    known = set(inspect.signature(spec).parameters)
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name in {"self", "cls"} and not in_module:
            continue
        if parameter.kind is not parameter.POSITIONAL_OR_KEYWORD:
            yield f"parameter {parameter.name!r}: must be neither keyword-only nor starred"
        elif parameter.default is not parameter.empty:
            yield f"parameter {parameter.name!r}: must have no default: it hides a wrong name"
        elif parameter.name not in known:
            yield f"parameter {parameter.name!r}: the hook has {', '.join(sorted(known)) or 'none'}"
