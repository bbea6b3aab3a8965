"""The README's program, word for word: checked by `mypy --strict` with all else, never run."""

import trio

from gateway_core import open_gateway


async def main() -> None:
    async with open_gateway("gateway.toml") as gateway:
        receipt = await gateway.send(
            "support-bot",
            "C024BE91L",
            "**Deployed** v2.3",
            key="deploy-2.3",
        )
        await gateway.edit(
            receipt.ref,
            "**Deployed** v2.3, *verified*",
        )


trio.run(main)
