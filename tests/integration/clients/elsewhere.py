"""Runs a program as it is, with its SDK told where the platform is: `elsewhere.py URL PROGRAM`.

A third argument, `uvloop`, gives it that loop.
"""

import runpy
import sys
import warnings
from importlib import import_module
from importlib.util import find_spec

URL, PROGRAM, *LOOP = sys.argv[1:]


def aiogram():
    import_module("aiogram")
    telegram = import_module("aiogram.client.telegram")
    there = telegram.TelegramAPIServer.from_base(URL)
    for name in ("base", "file"):
        object.__setattr__(telegram.PRODUCTION, name, getattr(there, name))


def telegram():
    builder = import_module("telegram.ext").ApplicationBuilder
    begin = builder.__init__

    def begin_there(self):
        begin(self)
        self.base_url(f"{URL}/bot")

    builder.__init__ = begin_there


def discord():
    with warnings.catch_warnings():
        # discord.py's voice part imports a deprecated module of the standard library.
        warnings.simplefilter("ignore", DeprecationWarning)
        discord = import_module("discord")
    yarl = import_module("yarl")
    discord.http.Route.BASE = f"{URL}/api/v10"
    discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(URL.replace("http", "ws", 1))


def slack_sdk():
    client = import_module("slack_sdk.web.base_client").BaseClient
    begin = client.__init__

    def begin_there(self, *given, **fields):
        begin(self, *given, **{**fields, "base_url": f"{URL}/api/"})

    client.__init__ = begin_there


if LOOP:
    policy = import_module("asyncio").set_event_loop_policy
    policy(import_module("uvloop").EventLoopPolicy())
with open(PROGRAM, encoding="utf-8") as file:  # noqa: PTH123 - as short as it can be
    code = file.read()
for sdk in (aiogram, telegram, discord, slack_sdk):
    name = "slack_bolt" if sdk is slack_sdk and "slack_bolt" in code else sdk.__name__
    if f"from {name}" in code or f"import {name}" in code:
        assert find_spec(sdk.__name__)
        sdk()
sys.argv = [PROGRAM]
sys.path.insert(0, ".")
runpy.run_path(PROGRAM, run_name="__main__")
