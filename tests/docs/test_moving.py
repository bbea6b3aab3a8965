"""What the pages on moving from an SDK say to write is there, with the fields that they name."""

import ast
import inspect
import re
import typing
import warnings
from pathlib import Path

import pytest
import trio

from gateway_core import Call, Gateway, Send, aio, blocking, open_gateway, parse_config

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs/how-to").glob("move-from-*.md"))
CALL = re.compile(r"`((?:async with )?gateway\.\w+\([^`]*\))`")
CELLS = [
    (page.stem, found.removeprefix("async with "))
    for page in PAGES
    for line in page.read_text().splitlines()
    if line.startswith("| ")
    for found in CALL.findall(line.rpartition(" | ")[2] if line.count(" | ") == 1 else line)
]
SECTIONS = ("Before", "After", "Replace your calls", "What changes", "Graceful shutdown")


def fields_of(name):
    """The keyword arguments that the method takes."""
    signature = inspect.signature(getattr(Gateway, name))
    found = set(signature.parameters)
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD:
            hints = typing.get_type_hints(getattr(Gateway, name))
            found |= set(typing.get_type_hints(typing.get_args(hints[parameter.name])[0]))
    return found


@pytest.mark.parametrize(("page", "cell"), CELLS)
def test_a_call_that_a_table_names_is_one(page, cell):
    call = ast.parse(cell.replace("{…}", "{}").replace("…", "..."), mode="eval").body
    name = call.func.attr
    for face in (Gateway, aio.Gateway, blocking.Gateway):
        assert callable(getattr(face, name))
    assert set() == {keyword.arg for keyword in call.keywords} - fields_of(name)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_each_page_has_the_same_parts(page):
    headings = re.findall(r"^## (.*)$", page.read_text(), re.MULTILINE)
    assert [*SECTIONS] == [heading for heading in headings if heading in SECTIONS]
    assert sum(heading.startswith("What stays with ") for heading in headings) == 1


def test_there_are_many():
    assert len(CELLS) > 30


def aiogram_keyboard():
    types = pytest.importorskip("aiogram.types")
    button = types.InlineKeyboardButton(text="Yes", callback_data="yes")
    keyboard = types.InlineKeyboardMarkup(inline_keyboard=[[button]])
    return {"reply_markup": keyboard.model_dump(mode="json", exclude_none=True)}


def telegram_keyboard():
    telegram = pytest.importorskip("telegram")
    button = telegram.InlineKeyboardButton("Yes", callback_data="yes")
    return {"reply_markup": telegram.InlineKeyboardMarkup([[button]]).to_dict()}


def imported_discord():
    with warnings.catch_warnings():
        # discord.py's voice part imports a deprecated module of the standard library.
        warnings.simplefilter("ignore", DeprecationWarning)
        return pytest.importorskip("discord")


def discord_embed():
    return {"embeds": [imported_discord().Embed(title="Yes", description="or no").to_dict()]}


def discord_view():
    discord = imported_discord()
    view = discord.ui.View().add_item(discord.ui.Button(label="Yes", custom_id="yes"))
    return {"components": view.to_components()}


def slack_blocks():
    return {"blocks": [{"type": "divider"}]}


ACCOUNTS = {"telegram": "123456:" + "a" * 35, "discord": "a.b.c", "slack": "xoxb-1234"}
ROOMS = {"telegram": "7", "discord": "1100000000000000001", "slack": "C024BE91L"}
EYES = "PUT /channels/{channel}/messages/{message}/reactions/{emoji}/@me"
CALLS = {
    "telegram": ("setMessageReaction", {"message_id": 1, "reaction": []}),
    "discord": (EYES, {"message": "12", "emoji": "👀"}),
    "slack": ("reactions.add", {"name": "eyes", "timestamp": "1700000000.000100"}),
}


def problems_of(channel, kind, **fields):
    accounts = {channel: {"channel": channel, "token": ACCOUNTS[channel]}}
    where = {"instance_id": channel, "external_room_id": ROOMS[channel]}

    async def main():
        async with open_gateway(parse_config({"instances": accounts})) as gateway:
            return gateway.preview(kind(**where, **fields)).problems

    return trio.run(main)


@pytest.mark.parametrize(
    ("channel", "made"),
    [
        ("telegram", aiogram_keyboard),
        ("telegram", telegram_keyboard),
        ("discord", discord_embed),
        ("discord", discord_view),
        ("slack", slack_blocks),
    ],
)
def test_what_an_sdk_builds_is_taken_as_extra(channel, made):
    assert () == problems_of(channel, Send, text="Sure?", extra=made())


@pytest.mark.parametrize("channel", CALLS)
def test_the_tables_methods_are_known(channel):
    method, arguments = CALLS[channel]
    assert () == problems_of(channel, Call, method=method, arguments=arguments)
