"""Finds plugins and binds each channel's hooks: all of them, or none and every fault."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeAlias

import attrs
import pluggy

from gateway_core.contract import hookspecs
from gateway_core.contract.errors import ConfigError, PluginError, Problem
from gateway_core.contract.hookspecs import ADAPTER_GROUP, POLICY_GROUP, Providers, Traits
from gateway_core.plugins import defaults
from gateway_core.plugins.boundary import stopped
from gateway_core.plugins.front import ChannelHooks
from gateway_core.plugins.inspection import ASYNC_HOOKS, SPECS, Plugin, impl_of, inspect_plugin

Given: TypeAlias = object | tuple[str, object]
"""A plugin given in code: an object with hookimpls, or (channel, object) for one channel only."""


@attrs.frozen
class Filter:
    """Which plugins may be used, by name. An empty `allow` allows all that `deny` does not name."""

    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()

    def __call__(self, name: str) -> bool:
        """Whether the plugin of that name may be used."""
        return name not in self.deny and (not self.allow or name in self.allow)


def discover(allowed: Filter = Filter()) -> tuple[list[Plugin], list[Problem]]:
    """The installed plugins by their entry points, and those that do not import."""
    found: list[Plugin] = []
    problems: list[Problem] = []
    for group in (ADAPTER_GROUP, POLICY_GROUP):
        for point in sorted(entry_points(group=group), key=lambda p: (p.name, p.value)):
            if allowed(point.name):
                _load(point, group, found, problems)
    return found, problems


def left_out(allowed: Filter) -> str:
    """Which installed plugins the filter leaves out, as the end of a sentence; else nothing."""
    groups = (ADAPTER_GROUP, POLICY_GROUP)
    names = {point.name for group in groups for point in entry_points(group=group)}
    names = {name for name in names if not allowed(name)}
    return f"; the table `plugins` leaves out {', '.join(sorted(names))}" if names else ""


def _load(point: EntryPoint, group: str, found: list[Plugin], problems: list[Problem]) -> None:
    dist = f"{point.dist.name} {point.dist.version}" if point.dist is not None else ""
    try:
        module = point.load()
    except BaseException as error:  # noqa: BLE001 - a stranger's import may raise anything
        text = f"cannot be imported: {type(error).__name__}: {stopped(error)}"
        problems.append(Problem(f"{point.name} ({dist})", text))
        return
    adapter = group == ADAPTER_GROUP
    found.append(
        Plugin(
            name=point.name,
            module=module,
            channel=point.name if adapter else None,
            adapter=adapter,
            distribution=dist,
        )
    )


def given(plugins: Sequence[Given]) -> list[Plugin]:
    """Plugins given in code; one that has `send` serves the channel that it is given for."""
    if not isinstance(plugins, list | tuple):
        raise TypeError(f"`plugins` must be a list of plugins, not {plugins!r}")
    found = []
    for item in plugins:
        channel, module = _for_channel(item)
        name = getattr(module, "__name__", None) or type(module).__name__
        adapter = impl_of(getattr(module, "send", None)) is not None
        found.append(Plugin(name=name, module=module, channel=channel, adapter=adapter))
    return found


def _for_channel(item: Any) -> tuple[str | None, object]:
    if not isinstance(item, tuple):
        return None, item
    if len(item) != 2 or not isinstance(item[0], str):  # noqa: PLR2004 - a pair
        raise TypeError(f'a plugin for one channel is ("channel", plugin), not {item!r}')
    return item


def bind(plugins: Sequence[Given] = (), allowed: Filter = Filter()) -> dict[str, ChannelHooks]:
    """Find, inspect and bind all plugins; the hooks of each channel.

    Raises `PluginError` with every fault of every plugin; then nothing is bound.
    """
    installed, problems = discover(allowed)
    in_code = given(plugins)
    everyone = [*in_code, *installed]
    for plugin in everyone:
        problems += inspect_plugin(plugin)
    problems += _doubled(everyone)
    problems += _idle(in_code, everyone)
    if problems:
        raise PluginError(problems)
    return _bind_all(in_code, installed)


@attrs.frozen(kw_only=True)
class ChannelBinding:
    """How a channel is served, for people to look at.

    adapter       the label of the plugin that serves it
    distribution  the adapter's, with `version`; both empty for one given in code
    policies      the labels of the policies that are asked as well
    hooks         for each hook, the labels of the plugins that are asked, in order
    """

    channel: str
    adapter: str
    distribution: str = ""
    version: str = ""
    policies: tuple[str, ...] = ()
    hooks: Mapping[str, tuple[str, ...]] = attrs.field(factory=dict)


def installed_channels(
    plugins: Sequence[Given] = (), allowed: Filter = Filter()
) -> tuple[ChannelBinding, ...]:
    """The channels that the installed and the given plugins serve. Raises `PluginError`."""
    bound = bind(plugins, allowed)
    found = {p.channel: p.distribution for p in discover(allowed)[0] if p.adapter}
    bindings = []
    for channel, hooks in sorted(bound.items()):
        distribution, _, version = found.get(channel, "").rpartition(" ")
        bindings.append(
            ChannelBinding(
                channel=channel,
                adapter=hooks.adapter,
                distribution=distribution,
                version=version,
                policies=hooks.policies,
                hooks=hooks.bound(),
            )
        )
    return tuple(bindings)


def outbox_at(url: str, plugins: Sequence[Given] = (), allowed: Filter = Filter()) -> Any:
    """The outbox that a plugin opens for `url`. Raises `ConfigError` where none does."""
    outbox = _policies(plugins, allowed).open_outbox(url=url)
    if outbox is None:
        scheme, is_url, _ = url.partition(":")
        text = f"no plugin opens outboxes of scheme {scheme!r}"
        text = text if is_url else f"{url!r} is no URL, such as sqlite:///path/to/file"
        text += "; sqlite is in gateway-contrib[sqlite]"
        raise ConfigError([Problem("outbox", text + left_out(allowed))])
    return outbox


def exporter_for(
    settings: Mapping[str, Any], plugins: Sequence[Given] = (), allowed: Filter = Filter()
) -> AbstractAsyncContextManager[Providers]:
    """What a plugin makes of the table `telemetry.export`. Raises `ConfigError` where none does."""
    exporting = _policies(plugins, allowed).open_telemetry(settings=settings)
    if exporting is None:
        text = "no plugin takes it; OpenTelemetry's SDK is in gateway-contrib[otel]"
        raise ConfigError([Problem("telemetry.export", text + left_out(allowed))])
    return exporting  # type: ignore[no-any-return]  # as the hook promises


def _policies(plugins: Sequence[Given], allowed: Filter) -> Any:
    """The hooks of every policy, given or installed, for questions of no channel."""
    manager = pluggy.PluginManager("gateway")
    manager.add_hookspecs(hookspecs)
    mine = [plugin for plugin in given(plugins) if not plugin.adapter]
    installed = [plugin for plugin in discover(allowed)[0] if not plugin.adapter]
    for number, plugin in enumerate((*reversed(installed), *reversed(mine))):
        manager.register(plugin.module, f"{number}:{plugin.label}")
    return manager.hook


def _doubled(plugins: Sequence[Plugin]) -> Iterable[Problem]:
    """Two adapters of one channel, or one plugin given twice."""
    first: dict[str, Plugin] = {}
    for number, plugin in enumerate(plugins):
        if any(plugin.module == other.module for other in plugins[:number]):
            yield Problem(plugin.label, "is given twice")
            continue
        if plugin.adapter and plugin.channel is not None:
            other = first.setdefault(plugin.channel, plugin)
            if other is not plugin:
                text = f"serves channel {plugin.channel!r}, which {other.label} serves already"
                yield Problem(plugin.label, text)


def _idle(in_code: Sequence[Plugin], everyone: Sequence[Plugin]) -> Iterable[Problem]:
    """Plugins given in code that would never be asked: a marker or a name was forgotten."""
    served = {plugin.channel for plugin in everyone if plugin.adapter}
    for plugin in in_code:
        module = plugin.module
        if inspect.isclass(module):
            yield Problem(plugin.label, "is a class; give an instance of it")
        elif not any(impl_of(inspect.getattr_static(module, name, None)) for name in dir(module)):
            yield Problem(plugin.label, "has no hookimpl: mark its functions with @hookimpl")
        if plugin.channel is not None and plugin.channel not in served:
            words = ", ".join(sorted(map(str, served))) or "none"
            text = f"no plugin serves channel {plugin.channel!r}; bound: {words}"
            yield Problem(plugin.label, text)


def _bind_all(in_code: list[Plugin], installed: list[Plugin]) -> dict[str, ChannelHooks]:
    manager = pluggy.PluginManager("gateway")
    manager.add_hookspecs(hookspecs)
    # Pluggy asks the last registered first: defaults, adapters, policies, what was given.
    adapters = [p for p in (*in_code, *installed) if p.adapter]
    policies = [p for p in installed if not p.adapter]
    mine = [p for p in in_code if not p.adapter]
    manager.register(defaults, "gateway_core defaults")
    for number, plugin in enumerate((*adapters, *reversed(policies), *reversed(mine))):
        manager.register(plugin.module, f"{number}:{plugin.label}")
    everyone = [*adapters, *policies, *mine]
    problems: list[Problem] = []
    bound = {}
    for adapter in adapters:
        assert adapter.channel is not None  # noqa: S101 - inspected
        hooks = _bind_channel(manager, adapter, everyone)
        problems += _inconsistent(adapter, hooks.traits, adapter.module)
        bound[adapter.channel] = hooks
    if problems:
        raise PluginError(problems)
    return bound


def _bind_channel(
    manager: pluggy.PluginManager, adapter: Plugin, everyone: Sequence[Plugin]
) -> ChannelHooks:
    """The channel's hooks without the plugins of other channels, frozen."""
    strangers = [p.module for p in everyone if p.channel not in (None, adapter.channel)]
    callers = {name: manager.subset_hook_caller(name, strangers) for name in SPECS}
    labels = {id(p.module): p.label for p in everyone}
    labels[id(defaults)] = "gateway_core"
    policies = [p for p in everyone if not p.adapter and p.channel in (None, adapter.channel)]
    return ChannelHooks(
        channel=str(adapter.channel),
        adapter=adapter.label,
        callers=callers,
        labels=labels,
        can=frozenset(
            name for name in ASYNC_HOOKS if impl_of(getattr(adapter.module, name, None)) is not None
        ),
        policies=tuple(p.label for p in policies),
    )


def _inconsistent(adapter: Plugin, traits: Traits, module: object) -> Iterable[Problem]:
    """An adapter whose traits promise an operation that it does not have."""
    for operation in ("edit", "delete"):
        if getattr(traits, operation) and impl_of(getattr(module, operation, None)) is None:
            yield Problem(adapter.label, f"traits promise {operation}, but there is no such hook")
