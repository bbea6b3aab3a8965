"""`gateway outbox backup`: copies a durable outbox, even while its gateway runs."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from gateway_contrib.cli.ending import Ended, printable
from gateway_contrib.cli.outbox.engines import is_in_database
from gateway_contrib.cli.outbox.named import CONFIG, Config, app, mistake_in_outbox
from gateway_contrib.outboxes import path_of


@app.command
def backup(
    target: Annotated[Path, Parameter(help="The file to make; it must not exist yet.")],
    /,
    *,
    config: Config = CONFIG,
) -> None:
    """Copy the whole outbox into a new file; the gateway may go on running."""
    try:
        outbox = tomllib.loads(config.read_text(encoding="utf-8")).get("outbox")
    except tomllib.TOMLDecodeError as error:
        raise Ended(f"{config}: {error}") from None
    url = outbox.get("url") if isinstance(outbox, dict) else outbox  # a backup needs no keys
    path = path_of(url) if isinstance(url, str) else None
    if isinstance(url, str) and is_in_database(url):
        raise Ended(
            f"{config}: the outbox is in PostgreSQL: back it up with its database, by "
            "pg_dump --schema=SCHEMA or a copy of the whole server"
        )
    if path is None:
        raise Ended(mistake_in_outbox(config) or f"{config} names no outbox in a file")
    try:
        from gateway_contrib.sqlite.files.backup import back_up  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        raise Ended(f"{error.name} is missing: install 'gateway-contrib[sqlite]'") from None
    made = back_up(path, target)
    print(printable(f"{target}: {made.unfinished} unfinished, {made.size} bytes"))
