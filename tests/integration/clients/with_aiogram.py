"""An unmodified aiogram bot that polls the Telegram at the URL in the first argument."""

import asyncio  # noqa: TID251 - the client's loop
import sys

from aiogram import Bot, Dispatcher, F
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.filters import Command
from aiogram.types import InlineKeyboardButton, InlineKeyboardMarkup
from aiogram.utils.chat_action import ChatActionSender

dispatcher = Dispatcher()


@dispatcher.message(Command("ask"))
async def ask(message, bot):
    async with ChatActionSender.typing(chat_id=message.chat.id, bot=bot):
        for text in ("Because", "Because it is so."):
            await bot.send_message_draft(message.chat.id, draft_id=message.message_id, text=text)
            await asyncio.sleep(1.1)
    yes = InlineKeyboardButton(text="Yes", callback_data="yes")
    keyboard = InlineKeyboardMarkup(inline_keyboard=[[yes]])
    await message.reply("Because it is so. Clear?", reply_markup=keyboard)


@dispatcher.callback_query(F.data == "yes")
async def pressed(query):
    await query.message.edit_text("Clear.")
    await query.answer()


async def main():
    session = AiohttpSession(api=TelegramAPIServer.from_base(sys.argv[1]))
    bot = Bot("123456:AAbb-cc_dd", session=session)
    await dispatcher.start_polling(bot, handle_signals=False)


asyncio.run(asyncio.wait_for(main(), 120))
