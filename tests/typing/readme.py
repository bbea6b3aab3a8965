"""The README's program, word for word: checked by `mypy --strict` with all else, never run."""

import trio

from gateway_core import open_gateway


async def main() -> None:
    opening = open_gateway("gateway.toml")
    async with opening as gateway:
        receipt = await gateway.send(
            "support-bot",
            "C024BE91L",
            "**Deployed** v2.3",
            key="deploy-2.3",  # sent once
        )
        await gateway.edit(
            receipt.ref,
            "**Deployed** v2.3, *checked*",
        )


trio.run(main)
