"""Provides `open_gateway` for asyncio: one block opens and closes it, in the running loop."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from random import Random
from time import time as system_time
from types import TracebackType

from gateway_core.aio.gateway import Gateway
from gateway_core.aio.home import Home
from gateway_core.aio.sources import InLoop
from gateway_core.config import GatewayConfig
from gateway_core.contract.hookspecs import Providers
from gateway_core.gateway import gateway as core
from gateway_core.gateway import opening as core_opening
from gateway_core.outboxes.interface import Outbox
from gateway_core.plugins.boundary import leaving
from gateway_core.plugins.loader import Given
from gateway_core.sourcing.asking import InstanceSource


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

    The arguments and errors are those of `gateway_core.open_gateway`. An exception of the block is
    raised unchanged. If the gateway gives up, the task that opened it is cancelled, and the block
    raises `PartitionFailed`. A task that is cancelled while the block ends still waits for the
    drain; the third cancellation (Ctrl-C) cuts it. Plugins, outboxes and `wall_clock` are called on
    the gateway's thread. `instance_source` is called in this loop: it is an async function, or a
    plain function that never waits.
    """
    source = None if instance_source is None else InLoop(instance_source)
    return _Opening(
        partial(
            core_opening.open_gateway,
            config,
            plugins=plugins,
            outbox=outbox,
            rng=rng,
            wall_clock=wall_clock,
            providers=providers,
            serve=serve,
            instance_source=source,
        ),
        source,
    )


class _Opening(core_opening.Unopened, AbstractAsyncContextManager[Gateway]):
    """The block around an open gateway, which may be entered in one task and left in another."""

    def __init__(
        self, make: Callable[[], AbstractAsyncContextManager[core.Gateway]], source: InLoop | None
    ) -> None:
        self._make = make
        self._source = source
        self._home: Home
        self._watch: AsyncGenerator[None]
        self._task: asyncio.Task[object] | None = None
        self._cancelled = False

    async def __aenter__(self) -> Gateway:
        """Open the gateway."""
        loop = _loop()
        if self._source is not None:
            self._source.loop = loop
        self._home = Home(self._make, self._broken)
        await self._home.open()
        self._task = asyncio.current_task()
        self._watch = self._watching()
        await anext(self._watch)
        return Gateway(self._home)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Drain and close the gateway. Raises the error with which it gave up, else the block's."""
        task, self._task = self._task, None
        interrupted = isinstance(error, asyncio.CancelledError | KeyboardInterrupt)
        if self._cancelled and task is not None:
            task.uncancel()
        try:
            await self._home.close(interrupts=int(interrupted))
        except asyncio.CancelledError:
            if error is None:
                raise
        except BaseException as failed:  # noqa: BLE001 - raised again, alone or with the block's
            own = None if isinstance(error, asyncio.CancelledError) else error
            raise leaving(own, BaseExceptionGroup("", [failed])) from failed.__cause__
        finally:
            await self._watch.aclose()

    async def _watching(self) -> AsyncGenerator[None]:
        """A generator that ends with the block, or with the loop, which ends its generators."""
        try:
            yield
        finally:
            if not self._home.is_over:
                await self._home.loop_ends()

    def _broken(self) -> None:
        """In the loop: the gateway gave up. Cancel the task that opened it, so the block ends."""
        if self._task is not None and not self._task.done():
            self._cancelled = True
            self._task.cancel("the gateway gave up")


def _loop() -> asyncio.AbstractEventLoop:
    """The running loop. Raises `RuntimeError`, which says what else there is, if none runs."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError as error:
        others = "use gateway_core with trio, gateway_core.blocking in code that blocks"
        raise RuntimeError(f"{error}: this gateway runs on asyncio; {others}") from None
