"""A process that owns or waits for an outbox in PostgreSQL, and obeys commands line by line.

`append NAME` stores an entry with this text, `page` prints the unfinished entries, and `close` ends
the process. Each command is answered in a line. If accounts are spread over processes, the process
takes the account that it is offered.
"""

import sys
import time
from random import Random

import attrs
import trio

from gateway_contrib.postgres import PostgresOutbox, PostgresSettings
from gateway_core import OutboxError
from gateway_core.contract.ids import Ids
from gateway_core.testing.outbox_contract import Entries, texts

BEHIND = 3600.0
"""Seconds by which the process's clock is wrong."""


def say(*words):
    print(*words, flush=True)  # noqa: T201 - whoever began this process reads it


async def main(url, schema, lease, accounts, account):
    ids, entry = Ids(Random()), Entries()
    settings = PostgresSettings(schema=schema, lease=float(lease), accounts=accounts)
    outbox = PostgresOutbox(url, settings, wall_clock=lambda: time.time() - BEHIND)
    async with outbox:
        outbox.lost = lambda lost: say("lost", lost)
        outbox.serves([account])
        while outbox.spreads and not outbox.offers(account):  # noqa: ASYNC110 - it has no event here
            await trio.sleep(0.02)
        await outbox.recover(account)
        say("owns")
        while (line := await trio.to_thread.run_sync(sys.stdin.readline)).strip() != "close":
            word, _, text = line.strip().partition(" ")
            try:
                if word == "append":
                    one = attrs.evolve(entry(text, instance=account), id=ids.next(time.time()))
                    await outbox.append(one, lambda: None)
                    say("stored", text)
                else:
                    say("page", *texts(await outbox.page(account)))
            except OutboxError as error:
                say("refused", error)


if __name__ == "__main__":
    trio.run(main, *sys.argv[1:])
