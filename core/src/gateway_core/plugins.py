"""Find plugins, inspect them, and bind each channel's hooks: all of them, or none and say why."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeAlias

import attrs
import pluggy

from gateway_core import defaults, hookspecs
from gateway_core.boundary import stopped
from gateway_core.channel_hooks import ChannelHooks
from gateway_core.errors import ConfigError, PluginError, Problem
from gateway_core.hookspecs import ADAPTER_GROUP, CONTRACT_VERSION, POLICY_GROUP, Providers, Traits

Given: TypeAlias = object | tuple[str, object]
"""A plugin given in code: an object with hookimpls, or (channel, object) for one channel only."""

ASYNC_HOOKS = frozenset({"credentials", "probe", "send", "edit", "delete", "call"})
OBSERVERS = frozenset(
    {"after_attempt", "after_disposition", "pressure_changed", "instance_suspended", "room_moved"}
)
ONE_BY_ONE = OBSERVERS | {"admit"}
REQUIRED = ("settings_type", "send")
SPECS: Mapping[str, Any] = {
    name: function
    for name, function in vars(hookspecs).items()
    if inspect.isfunction(function) and hasattr(function, "gateway_spec")
}


@attrs.frozen(kw_only=True)
class Plugin:
    """A plugin that was found.

    name          the entry point's, or the object's own
    channel       the one it serves (adapters) or is limited to (policies); None: all
    adapter       whether it serves its channel
    distribution  name and version; empty for one that was given in code
    """

    name: str
    module: Any
    channel: str | None = None
    adapter: bool = False
    distribution: str = ""

    @property
    def label(self) -> str:
        """How messages name it."""
        where = f" ({self.distribution})" if self.distribution else ""
        return f"{self.name}{where}"


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
        adapter = _impl(getattr(module, "send", None)) is not None
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
        scheme = url.partition(":")[0]
        text = (
            f"no plugin opens outboxes of scheme {scheme!r}; sqlite is in gateway-contrib[sqlite]"
        )
        raise ConfigError([Problem("outbox", text)])
    return outbox


def exporter_for(
    settings: Mapping[str, Any], plugins: Sequence[Given] = (), allowed: Filter = Filter()
) -> AbstractAsyncContextManager[Providers]:
    """What a plugin makes of the table `telemetry.export`. Raises `ConfigError` where none does."""
    exporting = _policies(plugins, allowed).open_telemetry(settings=settings)
    if exporting is None:
        text = "no plugin takes it; OpenTelemetry's SDK is in gateway-contrib[otel]"
        raise ConfigError([Problem("telemetry.export", text)])
    return exporting  # type: ignore[no-any-return]  # as the hook promises


def _policies(plugins: Sequence[Given], allowed: Filter) -> Any:
    """The hooks of every policy, given or installed, for what no channel is asked."""
    manager = pluggy.PluginManager("gateway")
    manager.add_hookspecs(hookspecs)
    mine = [plugin for plugin in given(plugins) if not plugin.adapter]
    installed = [plugin for plugin in discover(allowed)[0] if not plugin.adapter]
    for number, plugin in enumerate((*reversed(installed), *reversed(mine))):
        manager.register(plugin.module, f"{number}:{plugin.label}")
    return manager.hook


def _doubled(plugins: Sequence[Plugin]) -> Iterable[Problem]:
    """Two adapters of one channel: nobody could say which one serves it; one plugin twice."""
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
        elif not any(_impl(inspect.getattr_static(module, name, None)) for name in dir(module)):
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
            name for name in ASYNC_HOOKS if _impl(getattr(adapter.module, name, None)) is not None
        ),
        policies=tuple(p.label for p in policies),
    )


def _inconsistent(adapter: Plugin, traits: Traits, module: object) -> Iterable[Problem]:
    """An adapter whose traits promise an operation that it does not have."""
    for operation in ("edit", "delete"):
        if getattr(traits, operation) and _impl(getattr(module, operation, None)) is None:
            yield Problem(adapter.label, f"traits promise {operation}, but there is no such hook")


# -- inspection


def inspect_plugin(plugin: Plugin) -> list[Problem]:
    """Every fault of one plugin, before anything is registered."""
    problems = []
    if not _hashable(plugin.module):
        problems.append(Problem(plugin.label, "is not hashable, which a plugin must be"))
    version = getattr(plugin.module, "GATEWAY_CONTRACT", None if plugin.adapter else 1)
    if version != CONTRACT_VERSION:
        text = f"is written for contract version {version}; served is {CONTRACT_VERSION}"
        problems.append(Problem(plugin.label, text + " (GATEWAY_CONTRACT)"))
    impls: dict[str, str] = {}
    for name in dir(plugin.module):
        function = inspect.getattr_static(plugin.module, name, None)
        opts = _impl(function)
        if opts is None:
            continue
        hook = opts["specname"] or name
        texts = list(_faults(plugin, hook, _plain(function), opts))
        if (other := impls.setdefault(hook, name)) != name:
            texts.append(f"is the second of the hook {hook!r}, beside {other!r}")
        problems += [Problem(f"{plugin.label}: {name}", text) for text in texts]
    if plugin.adapter and plugin.channel is None:
        problems.append(Problem(plugin.label, 'an adapter is given as ("channel", plugin)'))
    if plugin.adapter:
        missing = [hook for hook in REQUIRED if hook not in impls]
        problems += [Problem(plugin.label, f"required hook {h} is missing") for h in missing]
    return problems


def _hashable(module: object) -> bool:
    try:
        hash(module)  # pluggy keeps plugins in sets; the value goes nowhere
    except TypeError:
        return False
    return True


def _impl(function: object) -> Mapping[str, Any] | None:
    """The marker's options, where `function` is a hookimpl."""
    opts = getattr(_plain(function), "gateway_impl", None)
    return opts if isinstance(opts, dict) else None


def _plain(function: Any) -> Any:
    return getattr(function, "__func__", function)


def _faults(plugin: Plugin, hook: str, function: Any, opts: Mapping[str, Any]) -> Iterable[str]:
    spec = SPECS.get(hook)
    if spec is None:
        yield f"there is no hook of the name {hook!r}"
        return
    yield from _colour_faults(hook, function)
    yield from _parameter_faults(spec, function)
    wraps = opts["wrapper"] or opts["hookwrapper"]
    if hook in ASYNC_HOOKS and not plugin.adapter:
        yield "async hooks belong to the adapter; policies use the sync hooks and observers"
    elif hook in ASYNC_HOOKS and wraps:
        yield "async hooks take no wrapper: it would end before the await"
    elif wraps and hook in ONE_BY_ONE:
        yield "takes no wrapper: its impls are called one by one"
    elif plugin.adapter and (wraps or opts["tryfirst"] or opts["trylast"]):
        yield "adapters use neither tryfirst nor trylast nor wrappers"


def _colour_faults(hook: str, function: Any) -> Iterable[str]:
    is_async = inspect.iscoroutinefunction(function)
    if hook in ASYNC_HOOKS and not is_async:
        yield "must be `async def`"
    if hook not in ASYNC_HOOKS and is_async:
        yield "must be a plain `def`: it is called without waiting"
    if inspect.isasyncgenfunction(function):
        yield "an async generator is no context manager: decorate it with @asynccontextmanager"


def _parameter_faults(spec: Any, function: Any) -> Iterable[str]:
    known = set(inspect.signature(spec).parameters)
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name in {"self", "cls"}:
            continue
        if parameter.kind is not parameter.POSITIONAL_OR_KEYWORD:
            yield f"parameter {parameter.name!r}: neither keyword-only nor starred ones are served"
        elif parameter.default is not parameter.empty:
            yield f"parameter {parameter.name!r}: a default hides a wrong name"
        elif parameter.name not in known:
            yield f"parameter {parameter.name!r}: the hook has {', '.join(sorted(known)) or 'none'}"
