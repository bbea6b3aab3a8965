"""Reads a configuration from `gateway.toml`, and reports every mistake at once, with its place."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import is_dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import attrs
import cattrs
from cattrs.gen import make_dict_structure_fn

from gateway_core.config import (
    FilesSettings,
    GatewayConfig,
    OutboxSettings,
    SourceSettings,
    Ttl,
    misfits,
)
from gateway_core.contract.errors import ConfigError, Invalid, Problem
from gateway_core.contract.instances import Instance, Secret, redactor
from gateway_core.contract.problems import meant, out_of_range, problems_in, take_no_other_for
from gateway_core.contract.validators import shown
from gateway_core.deliveries.retries import RetrySettings
from gateway_core.plugins.front import ChannelHooks
from gateway_core.plugins.loader import (
    Filter,
    Given,
    bind,
    exporter_for,
    left_out,
    outbox_at,
    unknown_names,
)
from gateway_core.ratelimits.circuit import CircuitSettings
from gateway_core.scheduling.partitioning import Strategy
from gateway_core.scheduling.pressure import PressureSettings

LARGEST_FILE = 16 * 2**20
"""Bytes of a configuration: enough for tens of thousands of accounts."""
_TWICE = "Cannot overwrite a value"
"""tomllib's words for a setting that is given twice; they do not say what is wrong."""
SHORTEST_SECRET = 6
"""Characters of a secret that errors hide; a shorter one would hide parts of other words."""
LARGEST_SECRET = 64 * 2**10
"""Bytes of a secret's file."""


def load_config(
    path: str | os.PathLike[str],
    plugins: Sequence[Given] = (),
    *,
    environ: Mapping[str, str] | None = None,
) -> GatewayConfig:
    """Read `gateway.toml` with the settings types of the installed and the given plugins.

    A secret is `{ env = "NAME" }`, `{ file = "path" }`, or the text itself; paths are relative to
    the configuration. Raises `ConfigError` with every mistake and its place, such as
    `instances.support.token`, and `PluginError` if plugins cannot be bound. The plugins that use
    the outbox's URL and the exporter's table check them; nothing is opened.
    """
    content = _content(path)
    if not content:
        text = "is empty: it has neither a setting nor an instance"
        raise ConfigError([Problem(str(path), text)])
    return parse_config(content, plugins, environ=environ, folder=Path(path).parent)


def load_outbox(
    path: str | os.PathLike[str], *, environ: Mapping[str, str] | None = None
) -> OutboxSettings | None:
    """Read only the outbox's URL and keys; None: the file names no outbox.

    It calls no plugin and reads no other secret, since an operator may not have the accounts'
    secrets. Raises `ConfigError`.
    """
    table = _content(path).get("outbox")
    reader = _Reader(os.environ if environ is None else environ, Path(path).parent)
    settings: OutboxSettings | None = None
    if table is not None:
        settings = reader.structure(table, OutboxSettings, "outbox")
    if reader.problems:
        raise ConfigError(reader.problems)
    return settings


def _content(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The file's content. Raises `ConfigError` if it cannot be read."""
    try:
        return tomllib.loads(_read(Path(path), LARGEST_FILE))
    except OSError as error:
        raise ConfigError([Problem(str(path), error.strerror or str(error))]) from None
    except ValueError as error:  # wrong TOML, wrong UTF-8, or a path with a NUL
        words = str(error).replace(_TWICE, f"{_TWICE}: a setting is given twice")
        raise ConfigError([Problem(str(path), f"is not TOML: {words}")]) from None
    except RecursionError:
        raise ConfigError([Problem(str(path), "is not TOML: it is nested too deeply")]) from None


def _read(file: Path, most: int) -> str:
    """The file's text, without a byte order mark. Raises OSError; ValueError if it is too long."""
    with file.open("rb") as opened:
        content = opened.read(most + 1)
    if len(content) > most:
        raise ValueError(f"it has more than {most} bytes")
    return content.decode("utf-8-sig")


def _read_secret(file: Path) -> str:
    """A secret's text. Raises like `_read`, and ValueError for a pipe, which may have no writer."""
    if file.is_fifo():
        raise ValueError("is a pipe: give a regular file, which each reload can read again")
    return _read(file, LARGEST_SECRET)


def _check_mapping(content: object) -> None:
    if not isinstance(content, Mapping):
        kind, instead = type(content).__name__, "`load_config` reads a file"
        raise TypeError(f"`content` must be a mapping, as tomllib gives it, not {kind}: {instead}")


def parse_config(
    content: Mapping[str, Any],
    plugins: Sequence[Given] = (),
    *,
    environ: Mapping[str, str] | None = None,
    folder: Path = Path(),
) -> GatewayConfig:
    """Make a configuration from a mapping, as `tomllib` gives it; otherwise like `load_config`."""
    _check_mapping(content)
    values = dict(content)
    reader = _Reader(os.environ if environ is None else environ, folder)
    names = values.pop("instances", {})
    allowed = reader.structure(values.pop("plugins", {}), Filter, "plugins") or Filter()
    reader.problems += unknown_names(allowed)
    hooks = bind(plugins, allowed)
    instances = reader.instances(names, hooks, allowed)
    config: GatewayConfig | None = reader.structure(values, GatewayConfig, "")
    with reader.noting():
        if values.get("outbox") is not None:
            place = config.outbox if config else reader.outbox(values["outbox"])
            if place is not None:
                outbox_at(place.url, plugins, allowed, keys=place.keys)
    with reader.noting():
        match values.get("telemetry"):
            case {"export": Mapping() as export} if export:
                exporter_for(export, plugins, allowed)
    reader.problems += misfits(instances, config or GatewayConfig())
    if reader.problems or config is None:
        raise ConfigError([_elsewhere(problem, content) for problem in reader.problems])
    return attrs.evolve(config, instances=instances, plugins=allowed)


_TABLES = {
    field.name: table
    for table, kind in (
        ("", GatewayConfig),
        ("ttl", Ttl),
        ("retries", RetrySettings),
        ("circuit", CircuitSettings),
        ("pressure", PressureSettings),
        ("files", FilesSettings),
        ("instance_source", SourceSettings),
    )
    for field in reversed(attrs.fields(kind))
}
"""The table of each of the gateway's settings, by the setting's name."""


def _elsewhere(problem: Problem, content: Mapping[str, Any]) -> Problem:
    """The problem of a setting in a wrong table, with the right table named; others as they are."""
    table = content.get(problem.place)
    if isinstance(table, Mapping) and "channel" in table and problem.place != "instances":
        text = f"is not a setting: an account's table is [instances.{problem.place}]"
        return Problem(problem.place, text)
    name = problem.place.rpartition(".")[2]
    table = _TABLES.get(name)
    if table is None or not re.match("is not a setting", problem.text):
        return problem
    where = f"in the table `{table}`" if table else "above the first table of the file"
    return Problem(problem.place, f"is not a setting of this table: it belongs {where}")


class _Reader:
    """Structures tables, and collects their problems instead of raising them."""

    def __init__(self, environ: Mapping[str, str], folder: Path) -> None:
        self.problems: list[Problem] = []
        self._environ, self._folder = environ, folder
        self._converter = cattrs.Converter(forbid_extra_keys=True)
        self._converter.register_structure_hook(Secret, self._secret)
        self._converter.register_structure_hook(Path, self._path)
        take_no_other_for(self._converter)
        self._converter.register_structure_hook(Strategy, lambda value, _: value)
        self._converter.register_structure_hook_factory(attrs.has, self._table)
        self._converter.register_structure_hook(OutboxSettings, self._outbox)

    @contextmanager
    def noting(self) -> Iterator[None]:
        """Collect the problems that the block raises."""
        try:
            yield
        except ConfigError as error:
            self.problems += error.problems

    def structure(self, value: Any, kind: Any, place: str) -> Any:
        """The value; or None, with its problems collected."""
        try:
            return self._converter.structure(value, kind)
        except Exception as error:  # noqa: BLE001 - a plugin's validators may raise anything
            self.problems += problems_in(error, place)
            return None

    def _table(self, kind: Any) -> Any:
        """A reader of a table of settings that raises all wrong types and ranges at once."""
        read = make_dict_structure_fn(kind, self._converter, _cattrs_forbid_extra_keys=True)

        def table(value: Any, _: Any) -> Any:
            try:
                return read(value, kind)
            except Exception as error:  # noqa: BLE001 - likewise
                ranges = out_of_range(kind, value, self._converter.structure)
                found = problems_in(error, kind=kind)
                misplaced = [p for p in found if p.place or not ranges]
                hide = redactor(self._secrets(kind, value))
            faults = dict.fromkeys([*misplaced, *ranges])
            raise Invalid([Problem(each.place, hide(each.text)) for each in faults])

        return table

    def _secrets(self, kind: Any, value: Any) -> Iterator[str]:
        """The secrets in a table, which a plugin's own words may quote."""
        for field in attrs.fields(kind) if attrs.has(kind) and isinstance(value, Mapping) else ():
            if field.name in value:
                with suppress(Exception):
                    read = self._converter.structure(value[field.name], field.type)
                    if isinstance(read, Secret) and len(read.reveal()) >= SHORTEST_SECRET:
                        yield read.reveal()

    def instances(
        self, tables: Any, hooks: Mapping[str, ChannelHooks], allowed: Filter
    ) -> tuple[Instance, ...]:
        """An instance for each table below `instances`, read by its channel's settings type."""
        if not isinstance(tables, Mapping):
            text = "must be a table of tables: [instances.NAME] for each account"
            self.problems.append(Problem("instances", text))
            return ()
        if isinstance(tables.get("channel"), str):
            text = "has an account without a name: write [instances.NAME], a name of yours"
            self.problems.append(Problem("instances", text))
            return ()
        found = []
        absent = cache(partial(left_out, allowed))  # it reads what is installed: once for all
        for name, table in tables.items():
            with self.noting():
                found.append(self._instance(name, table, hooks, absent))
        return tuple(found)

    def _instance(
        self, name: str, table: Any, hooks: Mapping[str, ChannelHooks], absent: Callable[[], str]
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
            text += absent() or meant(str(channel), hooks) or _package_of(channel)
            raise ConfigError([Problem(f"{place}.channel", text)])
        kind = hooks[channel].settings_type
        if kind is not None and not (attrs.has(kind) or is_dataclass(kind)):
            text = f"the plugin of channel {channel!r} must return an attrs class from the hook "
            text += f"`settings_type`, not {kind.__module__}.{kind.__qualname__}"
            raise ConfigError([Problem(place, text)])
        settings = None if kind is None else self.structure(fields, kind, place)
        try:
            return Instance(name, channel, settings)
        except ValueError as error:
            raise ConfigError(problems_in(error, place)) from None

    def outbox(self, value: Any) -> OutboxSettings | None:
        """The outbox's settings, for a file with other mistakes; None: they have mistakes too."""
        try:
            return self._outbox(value, None)
        except Exception:  # noqa: BLE001 - told with the others
            return None

    def _outbox(self, value: Any, _: Any) -> OutboxSettings:
        """The settings from a table, or from the URL alone."""
        if isinstance(value, str):
            return OutboxSettings(url=value)
        if not isinstance(value, Mapping):
            raise ValueError("must be a URL, or a table with a `url`")  # noqa: TRY004 - one kind for all
        if not isinstance(value.get("keys", []), list | tuple):  # it may be the secret itself
            raise Invalid([Problem("keys", 'must be a list, as in [{ env = "OUTBOX_KEY" }]')])
        return self._table(OutboxSettings)(value, None)  # type: ignore[no-any-return]  # made so

    def _path(self, value: Any, _: Any) -> Path:
        if not isinstance(value, str) or not value.isprintable() or not value:
            raise ValueError(f"must be a path, not {shown(value)}")
        return self._folder / value

    def _secret(self, value: Any, _: Any) -> Secret:
        match value:
            case str():
                source, text = "", value
            case {"env": name} if len(value) == 1:
                source = f"environment variable {_variable(name)} "
                if name not in self._environ:
                    raise ValueError(f"{source}is not set")
                text = self._environ[name]
            case {"file": name} if len(value) == 1:
                source = f"file {_file(name)}"
                try:
                    text = _read_secret(self._folder / name).strip()
                except (OSError, ValueError) as error:
                    raise ValueError(
                        f"{source}: {getattr(error, 'strerror', None) or error}"
                    ) from None
                source += " "
            case _:
                raise ValueError('must be { env = "NAME" }, { file = "path" } or a text')
        if not text:
            raise ValueError(f"{source}is empty")
        return Secret(text)


_VARIABLE = re.compile("[A-Z_][A-Z0-9_]*|[a-z_]+")
"""The usual form of an environment variable's name; most tokens do not have it."""
_LIKE_A_TOKEN = re.compile(r"(?=.*[0-9])[^/\\]{20,}")
"""Something given as a path that may be the secret itself, pasted by mistake."""


def _variable(name: object) -> str:
    """A variable's name as an error shows it. Raises ValueError if it may be the secret itself."""
    if not isinstance(name, str) or not _VARIABLE.fullmatch(name):
        text = 'must name an environment variable, as in { env = "BOT_TOKEN" }'
        raise ValueError(f"{text}; the value is not shown, since it may be the secret")
    return repr(name)


def _file(name: object) -> str:
    """A file's name as an error shows it. Raises ValueError if it is not a text."""
    if not isinstance(name, str):
        raise ValueError(f"must name a file, not {shown(name)}")  # noqa: TRY004 - one kind for all
    return (
        "(its name is not shown, since it may be the secret)"
        if _LIKE_A_TOKEN.fullmatch(name)
        else repr(name)
    )


def _package_of(channel: object) -> str:
    """Ask for the package that usually serves the channel, as the end of a sentence; or nothing."""
    named = isinstance(channel, str) and re.fullmatch("[a-z][a-z0-9-]*", channel)
    return f"; is gateway-plugin-{channel} installed?" if named else ""


def _no_channel(fields: Mapping[str, Any], place: str) -> list[Problem]:
    """Say that the channel is missing, or which fields look like a misspelled `channel`."""
    for name, value in fields.items():
        if isinstance(value, Mapping) and "channel" in value:
            quoted = f'[instances."{place.partition(".")[2]}.{name}"]'
            text = f"is missing; put a name that has a dot in quotes: {quoted}"
            return [Problem(f"{place}.channel", text)]
    hints = {f"{place}.{field}": meant(field, ["channel"]) for field in fields}
    alike = [Problem(where, f"is not a setting{hint}") for where, hint in hints.items() if hint]
    return alike or [Problem(f"{place}.channel", "is missing")]
