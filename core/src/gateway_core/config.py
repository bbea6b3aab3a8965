"""The configuration: `gateway.toml` or code, into frozen values; every mistake at once."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import attrs
import cattrs
from attrs.validators import optional
from cattrs.gen import make_dict_structure_fn

from gateway_core.contract.errors import ConfigError, Invalid, Problem
from gateway_core.contract.instances import Instance, Secret
from gateway_core.contract.problems import meant, out_of_range, problems_in, take_no_other_for
from gateway_core.contract.validators import LONGEST, flag, instance, number, one_of, whole
from gateway_core.deliveries.retries import RetrySettings
from gateway_core.plugins.front import ChannelHooks
from gateway_core.plugins.loader import Filter, Given, bind, exporter_for, left_out, outbox_at
from gateway_core.ratelimits.circuit import CircuitSettings
from gateway_core.scheduling.partitioning import STRATEGIES, Strategy
from gateway_core.scheduling.pressure import PressureSettings
from gateway_core.telemetry.privacy import TelemetrySettings

WhenSuspended: TypeAlias = Literal["wait", "end", "refuse"]

_DURATION = number(above=0, most=LONGEST)


@attrs.frozen(kw_only=True)
class Ttl:
    """Seconds after the call until an envelope expires, by its class."""

    urgent: float = attrs.field(default=300.0, validator=_DURATION)
    normal: float = attrs.field(default=3600.0, validator=_DURATION)
    bulk: float = attrs.field(default=86400.0, validator=_DURATION)


def _strategy(_: object, __: object, value: object) -> None:
    if not callable(value) and value not in tuple(STRATEGIES):
        words = ", ".join(map(repr, STRATEGIES))
        raise ValueError(f"'partition_by' must be one of {words} or a callable, not {value!r}")


def _listed(instances: Any) -> Any:
    """Any list as a tuple; anything else is left as it is, for the validator to name."""
    is_list = isinstance(instances, Iterable) and not isinstance(instances, str)
    return tuple(instances) if is_list else instances


def _are_instances(_: object, __: object, value: object) -> None:
    if not isinstance(value, tuple) or not all(isinstance(one, Instance) for one in value):
        raise ValueError(f"'instances' must be a list of Instance, not {value!r}")


@attrs.frozen(kw_only=True)
class GatewayConfig:
    """Everything that `open_gateway` needs to know. The reference gives the reason of each default.

    partition_count        shards of the routing keys
    partition_by           `room`, `instance`, or a callable (instance, room) -> int
    partition_bound        unfinished envelopes in one partition, at the most, of a class and
                           those above it
    instance_bound         of those, one instance's; None: three quarters
    room_bound             of those, one room's
    attempts_per_partition running attempts of one partition, at the most
    attempts_per_instance  running attempts of one instance, over all partitions
    attempt_timeout        seconds after which a hook that has not returned is given up
    session_idle           seconds without an attempt after which a session is closed
    drain_timeout          seconds that closing waits for unfinished envelopes; with a durable
                           outbox for attempts under way alone
    max_parts              platform messages that one envelope may become
    when_suspended         envelopes of a suspended instance wait, end at once, or are refused
    shed                   where a bound is reached, bulk that has not started is ended for a higher
                           class, which else comes in above the bound
    idempotency_window     seconds for which a key is remembered
    idempotency_keys       keys remembered in one partition, at the most
    history                ended envelopes, sent messages and, apart from them, edited or deleted
                           ones remembered in one partition
    outbox                 where accepted envelopes are stored; None: in memory
    outbox_capacity        unfinished envelopes that a durable outbox stores, at the most, of a
                           class and those above it
    plugins                plugins allowed or denied by name
    telemetry              what spans and logs show, and where telemetry goes
    """

    instances: tuple[Instance, ...] = attrs.field(
        default=(), converter=_listed, validator=_are_instances
    )
    partition_count: int = attrs.field(default=8, validator=whole(least=1))
    partition_by: Strategy = attrs.field(default="room", validator=_strategy)
    partition_bound: int = attrs.field(default=10_000, validator=whole(least=1))
    instance_bound: int | None = attrs.field(default=None, validator=optional(whole(least=1)))
    room_bound: int = attrs.field(default=1_000, validator=whole(least=1))
    attempts_per_partition: int = attrs.field(default=64, validator=whole(least=1))
    attempts_per_instance: int = attrs.field(default=64, validator=whole(least=1))
    attempt_timeout: float = attrs.field(default=90.0, validator=number(above=0))
    session_idle: float = attrs.field(default=300.0, validator=number(above=0))
    drain_timeout: float = attrs.field(default=30.0, validator=number(least=0))
    max_parts: int = attrs.field(default=50, validator=whole(least=1))
    when_suspended: WhenSuspended = attrs.field(
        default="wait", validator=one_of(*get_args(WhenSuspended))
    )
    shed: bool = attrs.field(default=False, validator=flag)
    idempotency_window: float = attrs.field(default=86_400.0, validator=_DURATION)
    idempotency_keys: int = attrs.field(default=100_000, validator=whole(least=1))
    history: int = attrs.field(default=1_000, validator=whole(least=1))
    ttl: Ttl = attrs.field(factory=Ttl, validator=instance(Ttl))
    retries: RetrySettings = attrs.field(factory=RetrySettings, validator=instance(RetrySettings))
    circuit: CircuitSettings = attrs.field(
        factory=CircuitSettings, validator=instance(CircuitSettings)
    )
    pressure: PressureSettings = attrs.field(
        factory=PressureSettings, validator=instance(PressureSettings)
    )
    outbox: str | None = attrs.field(default=None, validator=optional(instance(str)))
    outbox_capacity: int = attrs.field(default=1_000_000, validator=whole(least=1))
    plugins: Filter = attrs.field(factory=Filter, validator=instance(Filter))
    telemetry: TelemetrySettings = attrs.field(
        factory=TelemetrySettings, validator=instance(TelemetrySettings)
    )

    @property
    def instance_share(self) -> int:
        """The bound of one instance in one partition."""
        return self.instance_bound or max(1, self.partition_bound * 3 // 4)


def differing(one: GatewayConfig, other: GatewayConfig) -> tuple[str, ...]:
    """The settings in which two configurations differ, their instances left out."""
    names = (field.name for field in attrs.fields(GatewayConfig) if field.name != "instances")
    return tuple(name for name in names if getattr(one, name) != getattr(other, name))


def load_config(
    path: str | os.PathLike[str],
    plugins: Sequence[Given] = (),
    *,
    environ: Mapping[str, str] | None = None,
) -> GatewayConfig:
    """Read `gateway.toml` with the settings types of the installed and the given plugins.

    A secret is `{ env = "NAME" }`, `{ file = "path" }`, or the text itself; paths are relative to
    the configuration. Raises `ConfigError` with every mistake by its place, as in
    `instances.support.token`, and `PluginError` where plugins cannot be bound. The outbox's URL
    and the exporter's table are checked by the plugins that take them; nothing is opened.
    """
    file = Path(path)
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError([Problem(str(path), error.strerror or str(error))]) from None
    except ValueError as error:  # of TOML, of UTF-8, and of a path with a NUL
        raise ConfigError([Problem(str(path), f"is not TOML: {error}")]) from None
    return parse_config(content, plugins, environ=environ, folder=file.parent)


def parse_config(
    content: Mapping[str, Any],
    plugins: Sequence[Given] = (),
    *,
    environ: Mapping[str, str] | None = None,
    folder: Path = Path(),
) -> GatewayConfig:
    """The same from a mapping, as `tomllib` gives it."""
    values = dict(content)
    reader = _Reader(os.environ if environ is None else environ, folder)
    names = values.pop("instances", {})
    allowed = reader.structure(values.pop("plugins", {}), Filter, "plugins") or Filter()
    hooks = bind(plugins, allowed)
    instances = reader.instances(names, hooks, allowed)
    config: GatewayConfig | None = reader.structure(values, GatewayConfig, "")
    with reader.noting():
        if isinstance(url := values.get("outbox"), str):
            outbox_at(url, plugins, allowed)
    with reader.noting():
        match values.get("telemetry"):
            case {"export": Mapping() as export} if export:
                exporter_for(export, plugins, allowed)
    if reader.problems or config is None:
        raise ConfigError(reader.problems)
    return attrs.evolve(config, instances=instances, plugins=allowed)


class _Reader:
    """Structures tables and collects what is wrong instead of raising it."""

    def __init__(self, environ: Mapping[str, str], folder: Path) -> None:
        self.problems: list[Problem] = []
        self._environ, self._folder = environ, folder
        self._converter = cattrs.Converter(forbid_extra_keys=True)
        self._converter.register_structure_hook(Secret, self._secret)
        self._converter.register_structure_hook(Path, self._path)
        take_no_other_for(self._converter)
        self._converter.register_structure_hook(Strategy, lambda value, _: value)
        self._converter.register_structure_hook_factory(attrs.has, self._table)

    @contextmanager
    def noting(self) -> Iterator[None]:
        """Note the problems that the block raises."""
        try:
            yield
        except ConfigError as error:
            self.problems += error.problems

    def structure(self, value: Any, kind: Any, place: str) -> Any:
        """The value, or None and its problems noted."""
        try:
            return self._converter.structure(value, kind)
        except Exception as error:  # noqa: BLE001 - a plugin's validators may raise anything
            self.problems += problems_in(error, place)
            return None

    def _table(self, kind: Any) -> Any:
        """Reads a table of settings: what does not fit and what is out of range, all at once."""
        read = make_dict_structure_fn(kind, self._converter, _cattrs_forbid_extra_keys=True)

        def table(value: Any, _: Any) -> Any:
            try:
                return read(value, kind)
            except Exception as error:  # noqa: BLE001 - likewise
                ranges = out_of_range(kind, value, self._converter.structure)
                texts = {problem.text for problem in ranges}
                found = problems_in(error, kind=kind)
                misfits = [p for p in found if p.place or p.text not in texts]
            raise Invalid(list(dict.fromkeys([*misfits, *ranges])))

        return table

    def instances(
        self, tables: Any, hooks: Mapping[str, ChannelHooks], allowed: Filter
    ) -> tuple[Instance, ...]:
        """Each table below `instances`, by its channel's settings type."""
        if not isinstance(tables, Mapping):
            self.problems.append(Problem("instances", "must be a table of tables"))
            return ()
        found = []
        for name, table in tables.items():
            with self.noting():
                found.append(self._instance(name, table, hooks, allowed))
        return tuple(found)

    def _instance(
        self, name: str, table: Any, hooks: Mapping[str, ChannelHooks], allowed: Filter
    ) -> Instance:
        place = f"instances.{name}"
        if not isinstance(table, Mapping):
            raise ConfigError([Problem(place, "must be a table")])
        fields = dict(table)
        channel = fields.pop("channel", None)
        if channel is None:
            raise ConfigError(_no_channel(fields, place))
        if not isinstance(channel, str) or channel not in hooks:
            served = ", ".join(sorted(hooks)) or "none"
            text = f"no plugin serves channel {channel!r}; installed: {served}"
            text += left_out(allowed) or meant(str(channel), hooks)
            raise ConfigError([Problem(f"{place}.channel", text)])
        kind = hooks[channel].settings_type
        settings = None if kind is None else self.structure(fields, kind, place)
        try:
            return Instance(name, channel, settings)
        except ValueError as error:
            raise ConfigError(problems_in(error, place)) from None

    def _path(self, value: Any, _: Any) -> Path:
        if not isinstance(value, str) or not value:
            raise ValueError("must be a path")
        return self._folder / value

    def _secret(self, value: Any, _: Any) -> Secret:
        match value:
            case str():
                source, text = "", value
            case {"env": name} if len(value) == 1:
                source = f"environment variable {name!r} "
                if not isinstance(name, str) or name not in self._environ:
                    raise ValueError(f"{source}is not set")
                text = self._environ[name]
            case {"file": name} if len(value) == 1:
                source = f"file {name!r} "
                try:
                    text = (self._folder / str(name)).read_text(encoding="utf-8").strip()
                except (OSError, UnicodeDecodeError) as error:
                    reason = getattr(error, "strerror", None) or error
                    raise ValueError(f"file {name!r}: {reason}") from None
            case _:
                raise ValueError('must be { env = "NAME" }, { file = "path" } or a text')
        if not text:
            raise ValueError(f"{source}is empty")
        return Secret(text)


def _no_channel(fields: Iterable[str], place: str) -> list[Problem]:
    """That the channel is missing, or which fields look as if they were meant for it."""
    hints = {f"{place}.{field}": meant(field, ["channel"]) for field in fields}
    alike = [Problem(where, f"is not a setting{hint}") for where, hint in hints.items() if hint]
    return alike or [Problem(f"{place}.channel", "is missing")]
