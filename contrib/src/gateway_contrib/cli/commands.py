"""The commands of `gateway`, by name."""

from __future__ import annotations

from importlib.metadata import version

from cyclopts import App, Parameter

from gateway_contrib.cli.calling import call
from gateway_contrib.cli.demo.command import demo
from gateway_contrib.cli.emulating import emulate
from gateway_contrib.cli.explain.command import explain_command
from gateway_contrib.cli.groups.broadcasting import broadcast
from gateway_contrib.cli.groups.holding import app as group
from gateway_contrib.cli.inspecting import check, plugins
from gateway_contrib.cli.outbox import (  # noqa: F401 - commands of `outbox`
    backing_up,
    changing,
    looking,
    resealing,
    suspending,
    taking_part,
)
from gateway_contrib.cli.outbox.named import app as outbox
from gateway_contrib.cli.sending import cancel, delete, edit, send

app = App(
    name="gateway",
    help="Deliver messages to Telegram, Slack and Discord.",
    help_format="plaintext",
    # Help does not show that a flag is off by default.
    default_parameter=Parameter(show_default=lambda value: None if value is False else value),
    version=lambda: f"gateway {version('gateway-contrib')}",
)
for command in (
    demo,
    send,
    edit,
    delete,
    call,
    cancel,
    broadcast,
    group,
    plugins,
    check,
    emulate,
    outbox,
):
    app.command(command)
app.command(explain_command, name="explain")
