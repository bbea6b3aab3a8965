"""hikari's REST client, unmodified, against the Discord at the URL in the first argument.

A process of its own: its interpreter need not be that of the tests. Prints what it was told.
"""

import asyncio  # noqa: TID251 - the client's loop
import json
import sys

import hikari

ROOM, CLOSED = 1100000000000000001, 6


async def code_of(asked):
    """The status and Discord's code of a refusal."""
    try:
        await asked
    except hikari.ClientHTTPResponseError as error:
        return [int(error.status), int(error.code)]
    return None


async def main(url):
    app = hikari.RESTApp(url=f"{url}/api/v10")
    await app.start()
    async with app.acquire("a.b.c", hikari.TokenType.BOT) as client:
        first = await client.create_message(ROOM, "**one** 🙂")
        second = await client.create_message(ROOM, "two", reply=first)
        await client.edit_message(ROOM, first, "one, edited")
        await client.delete_message(ROOM, second)
        for number in range(6):
            await client.create_message(ROOM, str(number))
        refused = [
            await code_of(client.create_message(ROOM, "")),
            await code_of(client.create_message(ROOM, "a" * 2001)),
            await code_of(client.fetch_message(ROOM, 5)),
            await code_of(client.fetch_channel(CLOSED)),
        ]
    await app.close()
    sys.stdout.write(json.dumps({"refused": refused}))


asyncio.run(asyncio.wait_for(main(sys.argv[1]), 40))
