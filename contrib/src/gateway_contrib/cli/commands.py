"""The commands of `gateway`, by name; each is imported when it is used, or shown in the help."""

from __future__ import annotations

from importlib.metadata import version

from cyclopts import App, Parameter

_WHERE = {
    "demo": "demo.command:demo",
    "send": "sending:send",
    "edit": "sending:edit",
    "delete": "sending:delete",
    "call": "calling:call",
    "cancel": "sending:cancel",
    "broadcast": "groups.broadcasting:broadcast",
    "group": "groups.holding:app",
    "plugins": "inspecting:plugins",
    "check": "inspecting:check",
    "emulate": "emulating:emulate",
    "outbox": "outbox.commands:app",
    "explain": "explain.command:explain_command",
}

app = App(
    name="gateway",
    help="Deliver messages to Telegram, Slack and Discord.",
    help_format="plaintext",
    # Help does not show that a flag is off by default.
    default_parameter=Parameter(show_default=lambda value: None if value is False else value),
    version=lambda: f"gateway {version('gateway-contrib')}",
)
for name, where in _WHERE.items():
    app.command(f"gateway_contrib.cli.{where}", name=name)
