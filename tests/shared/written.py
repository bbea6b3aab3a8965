"""A channel that writes deliveries to a file, for test programs in processes of their own.

A message takes `SECONDS`, and ten are sent at a time. Each delivered message is a line of the file
`delivered`. The program itself writes a line of the file `accepted` for each accepted message.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

import trio

from gateway_core import GatewayConfig, Instance
from gateway_core.testing import FakeChannel, FakeSettings

SECONDS = float(os.environ.get("SECONDS_EACH", "0.3"))
signal.alarm(40)  # a program that hangs ends


class Written(FakeChannel):
    def __init__(self):
        super().__init__(script=self._write)

    async def _write(self, attempt):
        await trio.sleep(SECONDS)
        note("delivered", attempt.part.payload["text"])


def note(file, text):
    with Path(file).open("a") as lines:
        lines.write(f"{text}\n")


def given(**settings):
    """The arguments for `open_gateway`."""
    settings = {"drain_timeout": 20, **settings}
    config = GatewayConfig(instances=[Instance("bot", "fake", FakeSettings())], **settings)
    return {"config": config, "plugins": [("fake", Written())]}
