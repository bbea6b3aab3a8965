"""Opens and closes a gateway in Celery's worker processes, which run no exit handlers."""

from __future__ import annotations

from importlib import import_module

from gateway_core.blocking.gateway import Gateway


def connect(gateway: Gateway) -> None:
    """Open the gateway as each worker process of the prefork pool starts, and drain it at its end.

    Call it where the gateway is named, beside the Celery application. In pools of threads and
    greenlets, which have no such processes, the gateway opens at its first use.
    """
    signals = import_module("celery.signals")

    def opens(**_: object) -> None:
        gateway.open()

    def closes(**_: object) -> None:
        gateway.close()

    signals.worker_process_init.connect(opens, weak=False)
    signals.worker_process_shutdown.connect(closes, weak=False)
