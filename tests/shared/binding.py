"""Caches what is the same each time that a gateway binds its plugins.

A program binds plugins once, and a test run binds them ten thousand times. More than half of the
time to open a gateway is spent on reading what is installed, and on searching every name of every
plugin for hookimpls.
"""

import os
import sys
from contextlib import suppress
from functools import cache
from importlib.metadata import entry_points
from types import MemberDescriptorType, ModuleType, SimpleNamespace

import attrs
import pluggy

from gateway_core.plugins import loader

_inspect_plugin = loader.inspect_plugin
_inspected = {}
_registered = {}


@attrs.frozen
class Known:
    """A distribution's name and version; the original reads its file at each access."""

    name: str
    version: str


@cache
def _points_of(group, _path):
    points = entry_points(group=group)
    for point in points:
        vars(point)["dist"] = Known(point.dist.name, point.dist.version)
    return points


def installed(*, group):
    """The installed entry points, read anew only if the path or a folder on it has changed."""
    path = []
    for folder in sys.path:
        with suppress(OSError):
            path.append((folder, os.stat(folder or ".").st_mtime_ns))  # noqa: PTH116 - faster
    return _points_of(group, tuple(path))


def _namespaces(plugin):
    """The namespaces in which the plugin's names are looked up, in order."""
    kind = [] if isinstance(plugin, ModuleType) else [vars(k) for k in type(plugin).__mro__]
    return [getattr(plugin, "__dict__", {}), *kind]


def inspected(plugin):
    """The plugin's faults, searched anew only if one of its names has another value than before."""
    own, *kinds = _namespaces(plugin.module)
    if isinstance(plugin.module, ModuleType):
        key, spaces = plugin, [own]
    elif any(_is_impl(value) for value in own.values()):
        return _inspect_plugin(plugin)
    else:  # the object itself has only its version
        key, spaces = attrs.evolve(plugin, module=type(plugin.module)), kinds
    now = [value for space in spaces for value in space.values()]
    now.append(getattr(plugin.module, "GATEWAY_CONTRACT", None))
    before, faults = _inspected.get(key, ([], []))
    if not _same(now, before):
        faults = _inspect_plugin(plugin)
        _inspected[key] = now, faults
    return list(faults)


def _same(some, others):
    return len(some) == len(others) and all(a is b for a, b in zip(some, others, strict=True))


def _is_impl(function):
    return hasattr(function, "gateway_impl")


class Manager(pluggy.PluginManager):
    """Skips names that are no hooks, without pluggy's slower search.

    A module's hookimpls are looked for anew only if one of its names has another value than before.
    """

    def register(self, plugin, name=None):
        if not isinstance(plugin, ModuleType) or plugin in self.get_plugins():
            return super().register(plugin, name)
        now = list(vars(plugin).values())
        before, impls = _registered.get((plugin, name), ([], []))
        if not _same(now, before):
            super().register(plugin, name)
            callers = self.get_hookcallers(plugin)
            every = ((c.name, impl) for c in callers for impl in c.get_hookimpls())
            impls = [(hook, impl) for hook, impl in every if impl.plugin is plugin]
            _registered[plugin, name] = now, impls
            return name
        self._name2plugin[name] = plugin
        for hook, impl in impls:
            getattr(self.hook, hook)._add_hookimpl(impl)
        return name

    def parse_hookspec_opts(self, module_or_class, name):
        is_spec = hasattr(vars(module_or_class)[name], "gateway_spec")
        return super().parse_hookspec_opts(module_or_class, name) if is_spec else None

    def parse_hookimpl_opts(self, plugin, name):
        for space in _namespaces(plugin):
            if name in space:
                value = space[name]
                inner = getattr(value, "__func__", value)  # of a static or class method, or bound
                if isinstance(value, MemberDescriptorType) or _is_impl(value) or _is_impl(inner):
                    break
                return None
        return super().parse_hookimpl_opts(plugin, name)


def bind_faster():
    """Use the caches of this module from now on, in this process."""
    loader.entry_points = installed
    loader.inspect_plugin = inspected
    loader.pluggy = SimpleNamespace(PluginManager=Manager)
