"""An unmodified discord.py bot against the Discord at the URL in the first argument.

A program as people write it, with slash commands, a button and a form; told only where Discord is.
It says on standard output when it is `ready`, and when it hears its `form` and its `button`:
discord.py listens for one only after Discord has answered the request that shows it.
"""

import asyncio  # noqa: TID251 - the client's loop
import sys
import warnings

import yarl

with warnings.catch_warnings():
    # discord.py's voice part imports a deprecated module of the standard library.
    warnings.simplefilter("ignore", DeprecationWarning)
    import discord
    from discord import app_commands

URL = sys.argv[1]
discord.http.Route.BASE = f"{URL}/api/v10"
discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(URL.replace("http", "ws", 1))

intents = discord.Intents.none()
intents.messages = intents.message_content = True
client = discord.Client(intents=intents)
tree = app_commands.CommandTree(client)


def say(word):
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


class Order(discord.ui.Modal, title="Your order"):
    name = discord.ui.TextInput(label="Name", custom_id="name")

    async def on_submit(self, interaction):
        await interaction.response.send_message(f"Thanks, {self.name}.")


class Sure(discord.ui.View):
    @discord.ui.button(label="Yes", custom_id="yes")
    async def yes(self, interaction, _button):
        await interaction.response.edit_message(content="Done.", view=None)


@tree.command(description="Answers after a while")
async def ask(interaction, question: str):
    await interaction.response.defer(thinking=True)
    await interaction.edit_original_response(content=f"{question} Because")
    await interaction.edit_original_response(content=f"{question} Because it is so.")
    await interaction.followup.send("Anything else?", ephemeral=True)


@tree.command(description="Answers one person")
async def whisper(interaction):
    await interaction.response.send_message("psst", ephemeral=True)


@tree.command(description="Shows a form")
async def order(interaction):
    await interaction.response.send_modal(Order())
    say("form")


@tree.command(description="Shows a button")
async def sure(interaction):
    await interaction.response.send_message("Sure?", view=Sure())
    say("button")


@tree.command(description="Says nothing")
async def silent(_interaction): ...


@client.event
async def on_message(message):
    if not message.author.bot:
        async with message.channel.typing():
            await message.reply(f"You said: {message.content}")


@client.event
async def on_ready():
    say("ready")


asyncio.run(asyncio.wait_for(client.start("a.b.c"), 40))
