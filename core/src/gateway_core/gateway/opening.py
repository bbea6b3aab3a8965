"""`open_gateway`: checks its arguments, makes the gateway, and holds it open for a block."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from random import Random, SystemRandom
from time import time as system_time
from types import TracebackType
from typing import Any, NoReturn

import trio

from gateway_core.config import GatewayConfig
from gateway_core.config_file import load_config
from gateway_core.contract.errors import ConfigError, Problem
from gateway_core.contract.hookspecs import Providers
from gateway_core.contract.validators import is_finite, shown
from gateway_core.gateway.gateway import Gateway
from gateway_core.gateway.wiring import wire
from gateway_core.outboxes.handover import Handover
from gateway_core.outboxes.interface import Outbox
from gateway_core.plugins.boundary import leaving
from gateway_core.plugins.loader import Given, bind, exporter_for, outbox_at, unknown_names
from gateway_core.sourcing.asking import InstanceSource
from gateway_core.telemetry import OUTBOX_IN_MEMORY, log_event

AS_BLOCK = "write `async with open_gateway(…) as gateway:`"


class Unopened:
    """What an `open_gateway` gives. Its errors tell people who take it for the gateway what to do.

    Callers know it as a context manager only, so these mistakes do not pass a type checker.
    """

    def __getattr__(self, name: str) -> NoReturn:
        """Say how to use `open_gateway`, if somebody takes this object for the gateway."""
        raise AttributeError(f"no {name!r} before the gateway is open: {AS_BLOCK}")

    def __enter__(self) -> NoReturn:
        """Say how to use `open_gateway`."""
        raise TypeError(f"the gateway opens asynchronously: {AS_BLOCK}")

    def __exit__(self, *_: object) -> None:
        """Never called."""

    def __await__(self) -> NoReturn:
        """Say how to use `open_gateway`."""
        raise TypeError(f"the gateway closes at the end of a block: {AS_BLOCK}")


def open_gateway(
    config: GatewayConfig | str | os.PathLike[str],
    *,
    plugins: Sequence[Given] = (),
    outbox: Outbox | None = None,
    rng: Random | None = None,
    wall_clock: Callable[[], float] = system_time,
    providers: Providers | None = None,
    serve: bool = True,
    instance_source: InstanceSource | None = None,
) -> AbstractAsyncContextManager[Gateway]:
    """Open the gateway for the block; at its end: quiet, drain (`drain_timeout`), cancel.

    config      a configuration, or the path of a `gateway.toml`, which `load_config` reads
    plugins     objects with hookimpls, called before the installed ones; ("channel", plugin): for
                that channel only
    outbox      where accepted envelopes are stored; None: where the configuration says, or else in
                memory, which is logged once
    rng         the random generator for jitter; a seeded one makes delays repeatable
    wall_clock  POSIX time, for `not_before` and the times on receipts
    providers   receivers of spans and metrics; None: what the configuration says, or else this
                process's own OpenTelemetry setup
    serve       False: deliver nothing, and hand envelopes over to the process that owns the outbox.
                The outbox must be one that processes can share. The gateway opens at once, even if
                there is no owner
    instance_source  a function that returns an account for its id when the account is first needed,
                or None for an unknown id. It is async, or never waits. The configuration's
                `instance_source` says how it is called

    Raises `PluginError` and `ConfigError` with every fault before anything starts, and
    `PartitionFailed` out of the block if partitions keep failing.
    """
    return _Opening(
        _opened(
            config,
            plugins=plugins,
            outbox=outbox,
            rng=rng,
            wall_clock=wall_clock,
            providers=providers,
            serve=serve,
            instance_source=instance_source,
        )
    )


class _Opening(Unopened, AbstractAsyncContextManager[Gateway]):
    """The block around an open gateway."""

    def __init__(self, block: AbstractAsyncContextManager[Gateway]) -> None:
        self._block = block

    def __aenter__(self) -> Coroutine[Any, Any, Gateway]:
        """Open the gateway."""
        return self._block.__aenter__()

    def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> Coroutine[Any, Any, bool | None]:
        """Drain and close the gateway."""
        return self._block.__aexit__(kind, error, trace)


@asynccontextmanager
async def _opened(
    config: GatewayConfig | str | os.PathLike[str],
    *,
    plugins: Sequence[Given],
    outbox: Outbox | None,
    rng: Random | None,
    wall_clock: Callable[[], float],
    providers: Providers | None,
    serve: bool,
    instance_source: InstanceSource | None,
) -> AsyncIterator[Gateway]:
    """The gateway, open while the block runs."""
    _check(config, outbox, providers)
    if serve is not True and serve is not False:
        raise TypeError(f"`serve` must be True or False, not {shown(serve)}")
    _check_ports(rng, wall_clock, instance_source)
    if not isinstance(config, GatewayConfig):
        config = load_config(config, plugins)
    if unknown := unknown_names(config.plugins):
        raise ConfigError(unknown)
    hooks = bind(plugins, config.plugins)
    outbox = outbox_of(config, outbox, plugins)
    spreads = serve and bool(getattr(outbox, "spreads", False))
    handover = None if serve and not spreads else handover_of(outbox)
    if serve and outbox is None:
        log_event(OUTBOX_IN_MEMORY)
    exporter: AbstractAsyncContextManager[Providers] = nullcontext(providers or Providers())
    if providers is None and config.telemetry.export:
        exporter = exporter_for(config.telemetry.export, plugins, config.plugins)
    async with exporter as exporting, _entered(outbox if serve else None), _entered(handover):
        parts = wire(
            config,
            hooks,
            outbox=outbox if serve else None,
            handover=handover,
            rng=rng or SystemRandom(),
            wall_clock=wall_clock,
            providers=exporting,
            instance_source=instance_source,
        )
        gateway = Gateway(parts)
        life = gateway._life  # noqa: SLF001 - this package's own
        await life.recover()
        body: BaseException | None = None
        try:
            async with trio.open_nursery() as nursery:
                # Not `nursery.start`: if cancelled there, it would wait for a shielded task.
                nursery.start_soon(life.run)
                try:
                    await life.opened.wait()
                    yield gateway
                except BaseException as error:  # noqa: BLE001 - raised again below, unwrapped
                    body = error
                life.quiet()
        except BaseExceptionGroup as group:
            body = leaving(body, group)
        if body is not None:
            raise body


def _entered(reached: Any) -> AbstractAsyncContextManager[Any]:
    """`reached`, or for None a context that does nothing; an empty outbox may be false."""
    entered: AbstractAsyncContextManager[Any] = nullcontext() if reached is None else reached
    return entered


def outbox_of(
    config: GatewayConfig, outbox: Outbox | None, plugins: Sequence[Given]
) -> Outbox | None:
    """The outbox that is given, else the outbox that is configured; None: there is none."""
    if outbox is not None or config.outbox is None:
        return outbox
    where = config.outbox
    opened: Outbox = outbox_at(where.url, plugins, config.plugins, keys=where.keys)
    return opened


def handover_of(outbox: Outbox | None) -> Handover:
    """The handover that `outbox` offers. Raises `ConfigError` if there is none."""
    offered = getattr(outbox, "handover", None)
    if offered is None:
        name = type(outbox).__name__
        kept = "none is configured" if outbox is None else f"{name} belongs to one process"
        text = f"`serve=False` needs an outbox that processes share, such as PostgreSQL: {kept}"
        raise ConfigError([Problem("outbox", text)])
    found: Handover = offered()
    return found


def _check(config: object, outbox: object, providers: object) -> None:
    """Raises for wrong types and another event loop, since their own errors would not help."""
    if not trio.lowlevel.in_trio_run():
        others = "use gateway_core.aio with asyncio, gateway_core.blocking in code that blocks"
        raise RuntimeError(f"this gateway runs on trio, within trio.run(main): {others}")
    if not isinstance(config, GatewayConfig | str | os.PathLike):
        wanted = "a GatewayConfig or the path of a gateway.toml"
        raise TypeError(f"`config` must be {wanted}, not {type(config).__name__}")
    if isinstance(outbox, str):
        raise TypeError("`outbox` must be an Outbox; a URL belongs in the config's `outbox`")
    if isinstance(outbox, type) or not (outbox is None or hasattr(outbox, "attempt_started")):
        name = outbox.__name__ if isinstance(outbox, type) else type(outbox).__name__
        raise TypeError(f"`outbox` must be an Outbox, not {name}")
    if not isinstance(providers, Providers | None):
        wanted = "Providers(tracers=…, meters=…)"
        raise TypeError(f"`providers` must be {wanted}, not {type(providers).__name__}")


def _check_ports(rng: object, wall_clock: object, source: object) -> None:
    """Raises TypeError for arguments that would fail only later, in the gateway's tasks."""
    if not (source is None or callable(source)):
        raise TypeError(f"`instance_source` must be a function, not {shown(source)}")
    if not isinstance(rng, Random | None):
        raise TypeError(f"`rng` must be a random.Random, not {type(rng).__name__}")
    time = wall_clock() if callable(wall_clock) else None
    if not is_finite(time):
        wanted = "a function that gives POSIX time, such as time.time"
        told = f"one that gives {shown(time)}" if callable(wall_clock) else shown(wall_clock)
        raise TypeError(f"`wall_clock` must be {wanted}, not {told}")
