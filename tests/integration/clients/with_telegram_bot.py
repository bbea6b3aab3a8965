"""An unmodified python-telegram-bot program that polls the Telegram at the URL in the argument."""

import asyncio  # noqa: TID251 - the client's own waiting
import sys

from telegram import InlineKeyboardButton, InlineKeyboardMarkup
from telegram.ext import Application, CallbackQueryHandler, CommandHandler


async def ask(update, context):
    chat, number = update.effective_chat.id, update.effective_message.message_id
    await context.bot.send_chat_action(chat, "typing")
    for text in ("Because", "Because it is so."):
        await context.bot.send_message_draft(chat, number, text)
        await asyncio.sleep(1.1)
    keyboard = InlineKeyboardMarkup([[InlineKeyboardButton("Yes", callback_data="yes")]])
    await update.message.reply_text(
        "Because it is so. Clear?", reply_markup=keyboard, do_quote=True
    )


async def pressed(update, _context):
    await update.callback_query.edit_message_text("Clear.")
    await update.callback_query.answer()


application = (
    Application.builder().token("123456:AAbb-cc_dd").base_url(f"{sys.argv[1]}/bot").build()
)
application.add_handler(CommandHandler("ask", ask))
application.add_handler(CallbackQueryHandler(pressed))
application.run_polling(timeout=5)
