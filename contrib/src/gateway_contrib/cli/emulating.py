"""`gateway emulate`: an emulated platform on a loopback port, with a page for people."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Annotated, Any, Literal

import attrs
import trio
from cyclopts import Parameter
from cyclopts.validators import Number

from gateway_contrib.cli.ending import Ended
from gateway_contrib.cli.logs import Verbose, set_up_log
from gateway_contrib.emulators.discord import DiscordEmulator
from gateway_contrib.emulators.slack import SlackEmulator
from gateway_contrib.emulators.telegram import TelegramEmulator

Channel = Literal["telegram", "slack", "discord"]


def _nowhere(_emulator: Any, _url: str) -> str | None:
    return None


def _slack(emulator: SlackEmulator, url: str) -> str:
    emulator.hooks_url = emulator.files_url = url
    return emulator.webhook("C0GENERAL")


def _discord(emulator: DiscordEmulator, url: str) -> str:
    emulator.cdn_url = url
    emulator.gateway_url = f"{url.replace('http', 'ws', 1)}/gateway"
    webhook = emulator.webhook("1100000000000000001")
    return f"{url}/api/v10/webhooks/{webhook.id}/{webhook.token}"


@attrs.frozen
class Platform:
    """An emulator, the path of its API below the address, and a token that it takes.

    locate  tells an emulator where it is served; an incoming webhook of it, if it has some
    """

    emulator: Callable[..., Any]
    path: str
    token: str
    locate: Callable[[Any, str], str | None] = _nowhere


PLATFORMS: Mapping[str, Platform] = {
    "telegram": Platform(TelegramEmulator, "", "123456789:any-well-formed-token"),
    "slack": Platform(SlackEmulator, "/api", "xoxb-any-well-formed-token", _slack),
    "discord": Platform(DiscordEmulator, "/api/v10", "any.well-formed.token", _discord),
}


async def emulate(
    channel: Annotated[Channel, Parameter(help="The platform.")],
    /,
    *,
    port: Annotated[int, Parameter(validator=Number(gte=0, lte=65_535), help="0: a free one.")] = 0,
    verbose: Verbose = False,
) -> int:
    """Serve an emulated platform on loopback until interrupted; its page shows what arrived."""
    from gateway_contrib.emulators.serve import serve  # noqa: PLC0415 - a server: few commands are one

    set_up_log(verbose=verbose)
    platform = PLATFORMS[channel]
    # Clients hold Discord's times against their own clock.
    clocks = {"wall_clock": time.time} if channel == "discord" else {}
    emulator = platform.emulator(**clocks)
    async with trio.open_nursery() as nursery:
        try:
            url = await nursery.start(partial(serve, emulator.app, port=port))
        except OSError as error:
            raise Ended(f"port {port}: {error.strerror or error}") from None
        _introduce(channel, platform, url, platform.locate(emulator, url))
    return 0


def _introduce(channel: str, platform: Platform, url: str, webhook: str | None) -> None:
    print(f"{channel} is emulated at {url}/ (a page to look at; Ctrl-C ends it)")
    if webhook is not None:
        print(f"An incoming webhook: {webhook}")
    print("In gateway.toml:\n")
    print(f'[instances.my-{channel}]\nchannel = "{channel}"')
    print(f'token = "{platform.token}"\nbase_url = "{url}{platform.path}"', flush=True)
