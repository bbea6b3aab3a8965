"""Finds plugins and binds each channel's hooks; if a plugin has a fault, reports all faults."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeAlias

import attrs
import pluggy

from gateway_core.contract import hookspecs
from gateway_core.contract.errors import ConfigError, PluginError, Problem
from gateway_core.contract.hookspecs import ADAPTER_GROUP, POLICY_GROUP, Providers
from gateway_core.contract.instances import Secret
from gateway_core.contract.problems import CheckedSettings, meant
from gateway_core.contract.validators import must_be
from gateway_core.plugins import defaults
from gateway_core.plugins.boundary import place_in_plugin
from gateway_core.plugins.calling import Collections
from gateway_core.plugins.front import ChannelHooks
from gateway_core.plugins.inspection import (
    ASYNC_HOOKS,
    SIGNS,
    SPECS,
    Plugin,
    has_hook,
    impl_of,
    inspect_plugin,
)

Given: TypeAlias = object | tuple[str, object]
"""A plugin given in code: an object with hookimpls, or (channel, object) for one channel only."""


def _listed(names: Any) -> Any:
    """Make a tuple of any list. Other values stay as they are: the validator reports them."""
    return tuple(names) if isinstance(names, list | set | frozenset) else names


_NAMES = must_be(
    'a list of names, such as ["slack"]',
    lambda value: isinstance(value, tuple) and all(isinstance(name, str) for name in value),
)


@attrs.frozen
class Filter(CheckedSettings):
    """Which plugins may be used, by the name of the entry point or of the distribution.

    An empty `allow` allows every plugin that `deny` does not name.
    """

    allow: tuple[str, ...] = attrs.field(default=(), converter=_listed, validator=_NAMES)
    deny: tuple[str, ...] = attrs.field(default=(), converter=_listed, validator=_NAMES)

    def __call__(self, *names: str) -> bool:
        """Whether the plugin with these names may be used."""
        allowed = not self.allow or any(name in self.allow for name in names)
        return allowed and not any(name in self.deny for name in names)


def unknown_names(allowed: Filter) -> list[Problem]:
    """A problem for each name in the filter that no installed plugin has: it filters nothing."""
    known = installed_names()
    return [
        Problem(f"plugins.{field}", f"no plugin is called {name!r}{meant(name, known)}")
        for field in ("allow", "deny")
        for name in getattr(allowed, field)
        if name not in known
    ]


def installed_names() -> frozenset[str]:
    """Every name that a filter may use for an installed plugin."""
    return frozenset(name for point in _installed() for name in _names(point))


def _names(point: EntryPoint) -> tuple[str, ...]:
    """The names that a filter may use for the plugin: its entry point's, its distribution's."""
    return (point.name, point.dist.name) if point.dist is not None else (point.name,)


def discover(allowed: Filter = Filter()) -> tuple[list[Plugin], list[Problem]]:
    """The installed plugins from their entry points, and the problems of failed imports."""
    found: list[Plugin] = []
    problems: list[Problem] = []
    for point in _installed():
        if not allowed(*_names(point)):
            continue
        distribution = f"{point.dist.name} {point.dist.version}" if point.dist is not None else ""
        try:
            module = point.load()
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - a stranger's import may raise anything
            text = f"cannot be imported: {type(error).__name__}: {error}{_place(error)}"
            problems.append(Problem(f"{point.name} ({distribution})", text))
            continue
        channel = point.name if point.group == ADAPTER_GROUP else None
        found.append(Plugin(point.name, module, channel, channel is not None, distribution))
    return found, problems


def _place(error: BaseException) -> str:
    """Where a module broke, as the end of a sentence; a `SyntaxError` says it already."""
    place = None if isinstance(error, SyntaxError) else place_in_plugin(error)
    return f" ({place})" if place else ""


def left_out(allowed: Filter) -> str:
    """Say which installed plugins the filter leaves out, as the end of a sentence; or nothing."""
    names = sorted({point.name for point in _installed() if not allowed(*_names(point))})
    return f"; the table `plugins` leaves out {', '.join(names)}" if names else ""


def _installed() -> list[EntryPoint]:
    return [
        point
        for group in (ADAPTER_GROUP, POLICY_GROUP)
        for point in sorted(entry_points(group=group), key=lambda p: (p.name, p.value))
    ]


def given(plugins: Sequence[Given]) -> list[Plugin]:
    """The plugins given in code.

    A plugin with the hook `send`, or with settings for its channel, is the channel's adapter.
    """
    if not isinstance(plugins, list | tuple):
        raise TypeError(f"`plugins` must be a list of plugins, not {plugins!r}")
    found = []
    for item in plugins:
        channel, module = _for_channel(item)
        if isinstance(module, str):
            text = f"a plugin must be a module or an object, not the text {module!r}: import it"
            raise TypeError(f"{text} (installed plugins need not be given)")
        name = getattr(module, "__name__", None) or type(module).__name__
        adapts = channel is not None and has_hook(module, "settings_type")
        found.append(Plugin(name, module, channel, adapts or has_hook(module, "send")))
    return found


def _as_meant(in_code: Sequence[Plugin], installed: Sequence[Plugin]) -> list[Plugin]:
    """The plugins given in code, each as what it was meant to be: an adapter or a policy.

    A plugin that has `send` but no settings, for every channel or for a channel that an adapter
    serves, is a policy with a mistake.
    """
    adapters = [p for p in (*in_code, *installed) if p.adapter and _has_settings(p)]
    served = {None, *(plugin.channel for plugin in adapters)}
    return [
        attrs.evolve(plugin, adapter=False)
        if plugin.adapter and plugin.channel in served and not _has_settings(plugin)
        else plugin
        for plugin in in_code
    ]


def _has_settings(plugin: Plugin) -> bool:
    return has_hook(plugin.module, "settings_type")


def _for_channel(item: Any) -> tuple[str | None, object]:
    if not isinstance(item, tuple):
        return None, item
    if len(item) != 2 or not isinstance(item[0], str):  # noqa: PLR2004 - a pair
        raise TypeError(f'a plugin for one channel must be ("channel", plugin), not {item!r}')
    return item


def bind(plugins: Sequence[Given] = (), allowed: Filter = Filter()) -> dict[str, ChannelHooks]:
    """Find, inspect and bind all plugins, and return the hooks of each channel.

    Raises `PluginError` with every fault of every plugin, and then binds none.
    """
    installed, problems = discover(allowed)
    in_code = _as_meant(given(plugins), installed)
    everyone = [*in_code, *installed]
    for plugin in everyone:
        problems += inspect_plugin(plugin)
    problems += [*_doubled(everyone), *_idle(everyone), *_unserved(in_code, everyone)]
    if problems:
        raise PluginError(problems)
    return _bind_all(in_code, installed)


@attrs.frozen(kw_only=True)
class ChannelBinding:
    """How a channel is served, to be shown to people.

    adapter       the label of the plugin that serves the channel
    distribution  the adapter's distribution; empty, like `version`, if it was given in code
    policies      the labels of the policies that are asked too
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


def outbox_at(
    url: str,
    plugins: Sequence[Given] = (),
    allowed: Filter = Filter(),
    *,
    keys: Sequence[Secret] = (),
) -> Any:
    """The outbox that a plugin opens for `url`. Raises `ConfigError` if no plugin opens it."""
    outbox = _policies(plugins, allowed).open_outbox(url=url, keys=keys)
    if outbox is None:
        scheme, is_url, _ = url.partition(":")
        text = f"no plugin opens outboxes of scheme {scheme!r}"
        if not is_url:  # it may hold a password, unless it looks like a path
            named = repr(url) if re.fullmatch(r"[\w./~-]+", url) else "the value"
            text = f"{named} is not a URL, such as sqlite:///path/to/file"
        text += "; sqlite is in gateway-contrib[sqlite]"
        raise ConfigError([Problem("outbox", text + left_out(allowed))])
    if keys and not getattr(outbox, "sealed", False):
        text = "cannot be used by this outbox, which stores texts unencrypted"
        raise ConfigError([Problem("outbox.keys", text)])
    return outbox


def exporter_for(
    settings: Mapping[str, Any], plugins: Sequence[Given] = (), allowed: Filter = Filter()
) -> AbstractAsyncContextManager[Providers]:
    """The exporter that a plugin makes from the table `telemetry.export`.

    Raises `ConfigError` if no plugin makes one.
    """
    exporting = _policies(plugins, allowed).open_telemetry(settings=settings)
    if exporting is None:
        text = "no plugin exports with it; OpenTelemetry's SDK is in gateway-contrib[otel]"
        raise ConfigError([Problem("telemetry.export", text + left_out(allowed))])
    return exporting  # type: ignore[no-any-return]  # as the hook promises


def _policies(plugins: Sequence[Given], allowed: Filter) -> Any:
    """The hooks of all policies, given and installed, for questions that concern no channel."""
    mine = [plugin for plugin in given(plugins) if not plugin.adapter]
    installed = [plugin for plugin in discover(allowed)[0] if not plugin.adapter]
    return _registered([*mine, *installed]).hook


def _registered(plugins: Sequence[Plugin]) -> pluggy.PluginManager:
    """A manager that asks the plugins in this order; pluggy asks the last registered first."""
    manager = pluggy.PluginManager("gateway")
    manager.add_hookspecs(hookspecs)
    for number, plugin in enumerate(reversed(plugins)):
        manager.register(plugin.module, f"{number}:{plugin.label}")
    return manager


def _doubled(plugins: Sequence[Plugin]) -> Iterable[Problem]:
    """A problem for two adapters of one channel, and for a plugin given twice."""
    first: dict[str, Plugin] = {}
    for number, plugin in enumerate(plugins):
        if any(plugin.module == other.module for other in plugins[:number]):
            yield Problem(plugin.label, "is given twice")
            continue
        if not plugin.adapter or plugin.channel is None:
            continue
        if (other := first.setdefault(plugin.channel, plugin)) is not plugin:
            text = f"serves channel {plugin.channel!r}, which {other.label} serves already"
            if plugin.distribution and other.distribution:
                text += "; name one of the two distributions in `plugins.deny`"
            yield Problem(plugin.label, text)


def _idle(plugins: Sequence[Plugin]) -> Iterable[Problem]:
    """Problems of plugins that would never be asked: no marker, or a class, not an instance."""
    for plugin in plugins:
        if inspect.isclass(plugin.module):
            yield Problem(plugin.label, "is a class; give an instance of it")
        elif not _has_hookimpl(plugin.module):
            yield Problem(plugin.label, f"has no hookimpl: {_remedy(plugin.module)}")


def _has_hookimpl(plugin: object) -> bool:
    """Whether anything of the plugin is a hookimpl; most are called as their hooks."""
    names = sorted(dir(plugin), key=lambda name: name not in SPECS)
    return any(impl_of(inspect.getattr_static(plugin, name, None)) for name in names)


def _remedy(plugin: object) -> str:
    """Say how to repair a plugin without hooks, which may be in a class of its module."""
    for name in dir(plugin):
        member = inspect.getattr_static(plugin, name, None)
        if inspect.isclass(member) and _has_hookimpl(member):
            return f"give an instance of its class {name}, not the module"
    return "mark its functions with @hookimpl"


def _unserved(in_code: Sequence[Plugin], everyone: Sequence[Plugin]) -> Iterable[Problem]:
    """Problems of plugins given in code for a channel that no plugin serves: a misspelt name."""
    served = {plugin.channel for plugin in everyone if plugin.adapter}
    for plugin in in_code:
        if plugin.channel is not None and plugin.channel not in served:
            words = ", ".join(sorted(map(str, served))) or "none"
            text = f"no plugin serves channel {plugin.channel!r}; served: {words}"
            yield Problem(plugin.label, text)


def _bind_all(in_code: list[Plugin], installed: list[Plugin]) -> dict[str, ChannelHooks]:
    """Each channel's hooks, without the plugins of other channels."""
    adapters = [p for p in (*in_code, *installed) if p.adapter]
    mine, theirs = ([p for p in some if not p.adapter] for some in (in_code, installed))
    everyone = [*mine, *theirs, *adapters, Plugin("gateway_core", defaults)]
    manager = _registered(everyone)
    labels = {id(p.module): p.label for p in everyone}
    problems: list[Problem] = []
    bound, collections = {}, Collections()
    for adapter in adapters:
        channel, served = str(adapter.channel), (None, adapter.channel)
        strangers = [p.module for p in everyone if p.channel not in served]
        hooks = bound[channel] = ChannelHooks(
            channel=channel,
            adapter=adapter.label,
            callers={name: manager.subset_hook_caller(name, strangers) for name in SPECS},
            labels=labels,
            can=frozenset(name for name in ASYNC_HOOKS if has_hook(adapter.module, name)),
            policies=tuple(p.label for p in (*theirs, *mine) if p.channel in served),
            collections=collections,
        )
        problems += [
            Problem(adapter.label, f"traits promise {operation}, but there is no such hook")
            for operation in ("edit", "delete")
            if getattr(hooks.traits, operation) and operation not in hooks.can
        ]
        problems += [
            Problem(adapter.label, f"{sign} is made with the hook call, but there is no such hook")
            for sign in SIGNS
            if has_hook(adapter.module, sign) and "call" not in hooks.can
        ]
    if problems:
        raise PluginError(problems)
    return bound
