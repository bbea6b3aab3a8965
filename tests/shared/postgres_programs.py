"""Programs with other libraries that hand over messages in their own transactions.

Each prints the ids of the messages that it handed over in committed transactions.
"""

import sys

from sealed import FIRST

from gateway_contrib.postgres import aenqueue, enqueue
from gateway_core import Send

ENVELOPE = Send(instance_id="bot", external_room_id="room", text="Order 17 shipped")


def say(name):
    print(name)  # noqa: T201 - whoever began this process reads it


def django(url, schema):
    from django.conf import settings  # noqa: PLC0415 - each program brings its own
    from psycopg.conninfo import conninfo_to_dict  # noqa: PLC0415 - likewise

    known = conninfo_to_dict(url)
    settings.configure(
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.postgresql",
                "NAME": known["dbname"],
                "USER": known["user"],
                "HOST": known["host"],
                "PORT": known["port"],
            }
        }
    )
    import django as framework  # noqa: PLC0415 - likewise
    from django.db import connection, transaction  # noqa: PLC0415 - after its settings

    framework.setup()

    with transaction.atomic():
        say(enqueue(connection, ENVELOPE, schema=schema))
        with connection.cursor() as cursor:
            say(enqueue(cursor, ENVELOPE, schema=schema))
            say(enqueue(cursor, ENVELOPE, schema=schema, keys=[FIRST]))
    with transaction.atomic():
        enqueue(connection, ENVELOPE, schema=schema)
        transaction.set_rollback(True)


def sqlalchemy(url, schema):
    import asyncio  # noqa: PLC0415, TID251 - what its asynchronous engine runs on

    from sqlalchemy import create_engine, orm  # noqa: PLC0415 - each program brings its own
    from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine  # noqa: PLC0415 - likewise

    url = url.replace("postgresql://", "postgresql+psycopg://")
    engine = create_engine(url)
    with engine.begin() as connection:
        say(enqueue(connection, ENVELOPE, schema=schema))
    with engine.connect() as connection:
        enqueue(connection, ENVELOPE, schema=schema)  # never committed
    with orm.Session(engine) as session, session.begin():
        say(enqueue(session, ENVELOPE, schema=schema))
        say(enqueue(session, ENVELOPE, schema=schema, keys=[FIRST]))
    with orm.Session(engine) as session, session.begin() as transaction:
        enqueue(session, ENVELOPE, schema=schema)
        transaction.rollback()

    async def main():
        waiting = create_async_engine(url)
        async with waiting.begin() as connection:
            say(await aenqueue(connection, ENVELOPE, schema=schema))
        async with AsyncSession(waiting) as session, session.begin():
            say(await aenqueue(session, ENVELOPE, schema=schema))
            say(await aenqueue(session, ENVELOPE, schema=schema, keys=[FIRST]))
        await waiting.dispose()

    asyncio.run(main())
    engine.dispose()


if __name__ == "__main__":
    {"DJANGO": django, "SQLALCHEMY": sqlalchemy}[sys.argv[1]](*sys.argv[2:])
