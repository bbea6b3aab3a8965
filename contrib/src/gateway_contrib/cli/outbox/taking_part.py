"""`gateway outbox members`: which processes take part in an outbox that several share."""

from __future__ import annotations

import json as jsonlib
from time import time

import attrs

from gateway_contrib.cli.ending import Ended
from gateway_contrib.cli.outbox.listing import member_lines
from gateway_contrib.cli.outbox.named import CONFIG, Config, Json, app, outbox_in


@app.command
def members(*, config: Config = CONFIG, json: Json = False) -> None:
    """List who owns the outbox, since when, its epoch and lease, and who stands by."""
    outbox = outbox_in(config)
    if outbox.path is not None:
        raise Ended(f"{config}: a file has one owner at the most: gateway outbox stats names it")
    with outbox.operator() as operator:
        parts = operator.parts()
    if json:
        print(jsonlib.dumps([attrs.asdict(part) for part in parts]))
        return
    if not any(part.owns for part in parts):
        print("nobody owns it")
    for line in member_lines(parts, time()):
        print(line)
