"""What is the same each time that a gateway binds its plugins is found out once.

A program binds once, a run of the tests ten thousand times: more than half of what it takes to open
a gateway is to read what is installed, and to look at every name of every plugin for hookimpls.
"""

import sys
from contextlib import suppress
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from types import MemberDescriptorType, ModuleType, SimpleNamespace

import attrs
import pluggy

from gateway_core.plugins import loader

_inspect_plugin = loader.inspect_plugin
_inspected = {}


@attrs.frozen
class Known:
    """A distribution, which reads its file each time that its name is asked for."""

    name: str
    version: str


@cache
def _points_of(group, _path):
    points = entry_points(group=group)
    for point in points:
        vars(point)["dist"] = Known(point.dist.name, point.dist.version)
    return points


def installed(*, group):
    """What is installed, read anew only when the path changes, or a folder on it."""
    path = []
    for folder in sys.path:
        with suppress(OSError):
            path.append((folder, Path(folder).stat().st_mtime_ns))
    return _points_of(group, tuple(path))


def _namespaces(plugin):
    """Where its names are looked up, in that order."""
    kind = [] if isinstance(plugin, ModuleType) else [vars(k) for k in type(plugin).__mro__]
    return [getattr(plugin, "__dict__", {}), *kind]


def inspected(plugin):
    """Its faults, looked for anew only when a name of it stands for something else than before."""
    own, *kinds = _namespaces(plugin.module)
    if isinstance(plugin.module, ModuleType):
        key, spaces = plugin, [own]
    elif any(_is_impl(value) for value in own.values()):
        return _inspect_plugin(plugin)
    else:  # nothing but its version is its own
        key, spaces = attrs.evolve(plugin, module=type(plugin.module)), kinds
    now = [value for space in spaces for value in space.values()]
    now.append(getattr(plugin.module, "GATEWAY_CONTRACT", None))
    before, faults = _inspected.get(key, ([], []))
    if len(now) != len(before) or any(a is not b for a, b in zip(now, before, strict=True)):
        faults = _inspect_plugin(plugin)
        _inspected[key] = now, faults
    return list(faults)


def _is_impl(function):
    return hasattr(function, "gateway_impl")


class Manager(pluggy.PluginManager):
    """Passes over what is no hook without a look at everything that may hide one."""

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
    """From now on, in this process."""
    loader.entry_points = installed
    loader.inspect_plugin = inspected
    loader.pluggy = SimpleNamespace(PluginManager=Manager)
