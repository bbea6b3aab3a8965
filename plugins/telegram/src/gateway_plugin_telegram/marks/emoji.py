"""Lists the emoji that bots may react with. Sans-I/O."""

from __future__ import annotations

import re

_CUSTOM = re.compile(r"[1-9][0-9]{0,19}")
_SELECTORS = "\ufe0e\ufe0f"
"""Variation selectors: keyboards add them, and Telegram's list has none."""

_LISTED = """
    ❤ 👍 👎 🔥 🥰 👏 😁 🤔 🤯 😱 🤬 😢 🎉 🤩 🤮 💩 🙏 👌 🕊 🤡
    🥱 🥴 😍 🐳 ❤‍🔥 🌚 🌭 💯 🤣 ⚡ 🍌 🏆 💔 🤨 😐 🍓 🍾 💋 🖕 😈
    😴 😭 🤓 👻 👨‍💻 👀 🎃 🙈 😇 😨 🤝 ✍ 🤗 🫡 🎅 🎄 ☃ 💅 🤪 🗿
    🆒 💘 🙉 🦄 😘 💊 🙊 😎 👾 🤷‍♂ 🤷 🤷‍♀ 😡
"""
REACTIONS = frozenset(_LISTED.split())
"""As core.telegram.org/bots/api#reactiontypeemoji lists them."""


def known_as(emoji: str) -> str | None:
    """The emoji as Telegram writes it; None: bots cannot react with it."""
    plain = emoji.translate(dict.fromkeys(map(ord, _SELECTORS)))
    return plain if plain in REACTIONS else None


def is_custom(emoji: str) -> bool:
    """Whether it is the id of a custom emoji, which a chat may allow."""
    return _CUSTOM.fullmatch(emoji) is not None
