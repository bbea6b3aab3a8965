"""Holds the configuration in frozen values, and reports all of its mistakes at once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from math import inf
from typing import Any, Literal, TypeAlias, get_args
from urllib.parse import urlsplit

import attrs
from attrs.validators import optional

from gateway_core.contract.beside.origins import origin_of, read_origin
from gateway_core.contract.errors import ConfigError, Problem
from gateway_core.contract.instances import Instance, Secret
from gateway_core.contract.problems import CheckedSettings
from gateway_core.contract.validators import (
    ACCOUNT,
    BELOW,
    SHORTEST,
    flag,
    instance,
    is_number,
    number,
    one_of,
    shown,
    whole,
)
from gateway_core.deliveries.retries import RetrySettings
from gateway_core.plugins.loader import (
    Filter,
)
from gateway_core.ratelimits.circuit import CircuitSettings
from gateway_core.scheduling.partitioning import STRATEGIES, Strategy
from gateway_core.scheduling.pressure import PressureSettings
from gateway_core.telemetry.privacy import TelemetrySettings

WhenSuspended: TypeAlias = Literal["wait", "end", "refuse"]

_DURATION = number(least=SHORTEST)

ENCODED = "in a user or a password, write / ? # [ ] @ as %2F %3F %23 %5B %5D %40"
"""What to do about a URL that a character of its password breaks. It shows none of the URL."""

MOST_PARTITIONS = 1_000
"""Each partition has tasks of its own; more than some dozens of partitions bring no speed."""


@attrs.frozen(kw_only=True)
class Ttl(CheckedSettings):
    """Seconds after the call until an envelope expires, by its class."""

    urgent: float = attrs.field(default=300.0, validator=_DURATION)
    normal: float = attrs.field(default=3600.0, validator=_DURATION)
    bulk: float = attrs.field(default=86400.0, validator=_DURATION)


def _listed(listed: Any) -> Any:
    """Make a tuple of any list. Other values stay as they are: the validator reports them."""
    is_list = isinstance(listed, Iterable) and not isinstance(listed, str)
    return tuple(listed) if is_list else listed


def _are_hosts(_: object, __: object, value: object) -> None:
    if not isinstance(value, tuple):
        raise ValueError(f"'fetch_from' must be a list of hosts, not {shown(value)}")  # noqa: TRY004 - one kind for all
    for host in value:
        try:
            read_origin(host)
        except ValueError as error:
            raise ValueError(f"'fetch_from' {error}") from None


def _keys(_: object, __: object, value: object) -> None:
    if not isinstance(value, tuple) or not all(isinstance(one, Secret) for one in value):
        raise ValueError("'keys' must be a list of secrets")  # without the value: it may be secret


def _is_url(_: object, __: attrs.Attribute[str], value: str) -> None:
    if not isinstance(value, str):
        raise ValueError(f"'url' must be a text, not {shown(value)}")  # noqa: TRY004 - one kind for all
    try:
        urlsplit(value)
    except ValueError:  # its text may quote a password
        raise ValueError(f"'url' must be a URL: {ENCODED}") from None


def _without_password(url: object) -> str:
    """The repr of the URL without its password; the plain repr of any other value."""
    if not isinstance(url, str):
        return repr(url)
    without = re.sub(r"(://[^/@:]*:).*@", r"\1***@", url, count=1)
    return repr(re.sub(r"(password=)[^&\s]*", r"\1***", without, flags=re.IGNORECASE))


@attrs.frozen(kw_only=True)
class OutboxSettings(CheckedSettings):
    """Where accepted envelopes are stored, and the keys that their texts are sealed with.

    url   the outbox's URL, such as `sqlite:///path/to/file`; a plugin opens it
    keys  the first key seals, every key opens; without keys, texts are stored as they are
    """

    url: str = attrs.field(validator=_is_url, repr=_without_password)
    keys: tuple[Secret, ...] = attrs.field(default=(), converter=_listed, validator=_keys)


def _outbox(value: str | OutboxSettings | None) -> OutboxSettings | None:
    return OutboxSettings(url=value) if isinstance(value, str) else value


@attrs.frozen(kw_only=True)
class FilesSettings(CheckedSettings):
    """What the gateway itself does with files, in addition to what the channels do.

    fetch_from  hosts from which the gateway fetches a file's URL, if the platform does not fetch
                it: `cdn.example.com`, with a port if needed; subdomains are not included. Empty:
                nothing is fetched. Fetching uses https, and `http://` only for loopback addresses.
                A host whose name leads to an address that is not public is refused; list the
                address itself
    """

    fetch_from: tuple[str, ...] = attrs.field(default=(), converter=_listed, validator=_are_hosts)


@attrs.frozen(kw_only=True)
class SourceSettings(CheckedSettings):
    """How the gateway asks the `instance_source`, and when it forgets the source's accounts.

    at_once  most look-ups at the same time
    timeout  seconds that an envelope may wait for a look-up
    idle     seconds without work after which an account is forgotten
    """

    at_once: int = attrs.field(default=8, validator=whole(least=1))
    timeout: float = attrs.field(default=10.0, validator=_DURATION)
    idle: float = attrs.field(default=600.0, validator=number(least=SHORTEST, most=inf))


def _strategy(_: object, __: object, value: object) -> None:
    if not callable(value) and value not in tuple(STRATEGIES):
        words = ", ".join(map(repr, STRATEGIES))
        raise ValueError(f"'partition_by' must be one of {words} or a callable, not {shown(value)}")


def _are_instances(_: object, __: object, value: object) -> None:
    if not isinstance(value, tuple) or not all(isinstance(one, Instance) for one in value):
        raise ValueError(f"'instances' must be a list of Instance, not {shown(value)}")


@attrs.frozen(kw_only=True)
class GatewayConfig(CheckedSettings):
    """Everything that `open_gateway` needs to know. The reference gives the reason of each default.

    partition_count         number of partitions: the shards of the routing keys
    partition_by            `room`, `instance`, or a callable (instance, room) -> int
    partition_bound         most unfinished envelopes in one partition, counted for a class together
                            with the classes above it
    instance_bound          most of these envelopes that may belong to one instance; None: three
                            quarters of `partition_bound`
    room_bound              most of these envelopes that may belong to one room
    attempts_per_partition  most running attempts of one partition
    attempts_per_instance   most running attempts of one instance, over all partitions
    attempt_timeout         seconds after which the gateway gives up a hook that has not returned
    session_idle            seconds without an attempt after which a session is closed
    drain_timeout           seconds that closing waits for unfinished envelopes; with a durable
                            outbox, only for attempts under way
    max_parts               platform messages that one envelope may become
    when_suspended          envelopes of a suspended instance wait, end at once, or are refused
    shed                    if a bound is reached, end bulk envelopes that have not started, in
                            favour of a higher class; False: accept the higher class above the bound
    share                   part of every limit that this process may use, above 0 and up to 1: if
                            eight processes have one gateway each for the same accounts, an eighth
    idempotency_window      seconds for which a key is remembered
    idempotency_keys        most keys remembered in one partition
    history                 most ended envelopes, most sent messages, and most edited or deleted
                            messages remembered in one partition
    outbox                  where accepted envelopes are stored: settings, or the URL alone; None:
                            in memory
    outbox_capacity         most unfinished envelopes that a durable outbox stores, counted for a
                            class together with the classes above it
    files                   the hosts from which the gateway fetches files; none by default
    instance_source         how the `instance_source` of `open_gateway` is asked
    plugins                 plugins allowed or denied by name
    telemetry               what spans and logs show, and where telemetry goes
    """

    instances: tuple[Instance, ...] = attrs.field(
        default=(), converter=_listed, validator=_are_instances
    )
    partition_count: int = attrs.field(default=8, validator=whole(least=1, most=MOST_PARTITIONS))
    partition_by: Strategy = attrs.field(default="room", validator=_strategy)
    partition_bound: int = attrs.field(default=10_000, validator=whole(least=1))
    instance_bound: int | None = attrs.field(default=None, validator=optional(whole(least=1)))
    room_bound: int = attrs.field(default=1_000, validator=whole(least=1))
    attempts_per_partition: int = attrs.field(default=64, validator=whole(least=1))
    attempts_per_instance: int = attrs.field(default=64, validator=whole(least=1))
    attempt_timeout: float = attrs.field(default=90.0, validator=number(least=SHORTEST, most=inf))
    session_idle: float = attrs.field(default=300.0, validator=number(above=0, most=inf))
    drain_timeout: float = attrs.field(default=30.0, validator=number(least=0, most=inf))
    max_parts: int = attrs.field(default=50, validator=whole(least=1))
    when_suspended: WhenSuspended = attrs.field(
        default="wait", validator=one_of(*get_args(WhenSuspended))
    )
    shed: bool = attrs.field(default=False, validator=flag)
    share: float = attrs.field(default=1.0, validator=number(above=0, most=1))
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
    outbox: OutboxSettings | None = attrs.field(
        default=None, converter=_outbox, validator=optional(instance(OutboxSettings))
    )
    outbox_capacity: int = attrs.field(default=1_000_000, validator=whole(least=1))
    files: FilesSettings = attrs.field(factory=FilesSettings, validator=instance(FilesSettings))
    instance_source: SourceSettings = attrs.field(
        factory=SourceSettings, validator=instance(SourceSettings)
    )
    plugins: Filter = attrs.field(factory=Filter, validator=instance(Filter))
    telemetry: TelemetrySettings = attrs.field(
        factory=TelemetrySettings, validator=instance(TelemetrySettings)
    )

    def __attrs_post_init__(self) -> None:
        """Raises `ConfigError` if an instance conflicts with these settings or another instance."""
        if problems := misfits(self.instances, self):
            raise ConfigError(problems)

    @property
    def instance_share(self) -> int:
        """The bound of one instance in one partition."""
        return self.instance_bound or max(1, self.partition_bound * 3 // 4)


def differing(one: GatewayConfig, other: GatewayConfig) -> tuple[str, ...]:
    """The names of the settings in which two configurations differ, apart from `instances`."""
    names = (field.name for field in attrs.fields(GatewayConfig) if field.name != "instances")
    return tuple(name for name in names if getattr(one, name) != getattr(other, name))


def misfits(instances: Sequence[Instance], config: GatewayConfig) -> list[Problem]:
    """Conflicts of an instance's settings with the gateway's, or with another instance's."""
    problems = [problem for one in instances for problem in beside_gateway(one, config)]
    first: dict[Any, Instance] = {}
    names: set[str] = set()
    for one in instances:
        if one.id in names:
            problems.append(Problem(f"instances.{one.id}", "is configured twice"))
            continue
        names.add(one.id)
        account = account_of(one)
        if account is not None and (other := first.setdefault(account, one)) is not one:
            problems.append(_twice(one, other, account[1][0]))
    return problems


def same_account(instance: Instance, others: Iterable[Instance]) -> Iterator[Problem]:
    """A problem for each of the others that has another id but is the same account."""
    account = account_of(instance)
    for other in others:
        if account is not None and other.id != instance.id and account_of(other) == account:
            yield _twice(instance, other, account[1][0])


def _twice(one: Instance, other: Instance, field: str) -> Problem:
    text = f"is also the account of instance {other.id!r}: configure each account once"
    return Problem(f"instances.{one.id}.{field}", text)


def beside_gateway(instance: Instance, config: GatewayConfig) -> Iterator[Problem]:
    """A problem for each of the instance's settings that is not below the gateway's bound for it.

    A default is no problem: it means "as long as the gateway allows".
    """
    for field in _fields(instance.settings):
        name = field.metadata.get(BELOW)
        value = getattr(instance.settings, field.name)
        bound = getattr(config, name, None) if name is not None else None
        chosen = is_number(value) and value != field.default
        if chosen and is_number(bound) and not value < bound:
            text = f"must be below the gateway's `{name}`, which is {shown(bound)}"
            yield Problem(f"instances.{instance.id}.{field.name}", f"{text}, not {shown(value)}")


def account_of(instance: Instance) -> tuple[str, tuple[str, ...], tuple[Any, ...]] | None:
    """Which account of its platform it is: channel, names and values of its `ACCOUNT` fields.

    None: its settings have no such fields.
    """
    names = tuple(
        f.name for f in _fields(instance.settings) if ACCOUNT.items() <= f.metadata.items()
    )
    values = tuple(_alike(getattr(instance.settings, name)) for name in names)
    return (instance.channel, names, values) if names else None


def _alike(value: Any) -> Any:
    """A URL in one spelling of its origin and end; any other value as it is."""
    origin = origin_of(value) if isinstance(value, str) else None
    return value if origin is None else (origin, urlsplit(value).path.rstrip("/"))


def _fields(settings: Any) -> tuple[attrs.Attribute[Any], ...]:
    return attrs.fields(type(settings)) if attrs.has(type(settings)) else ()
