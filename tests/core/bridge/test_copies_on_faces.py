"""A library that copies or stores its data says at once why a gateway cannot be among it."""

import asyncio  # noqa: TID251 - what is tested
import copy
import pickle

import pytest
import trio
from bridged import config

from gateway_core import aio, blocking, open_gateway
from gateway_core.testing import FakeChannel

GIVEN = {"plugins": [("fake", FakeChannel())]}


def on_trio(use):
    async def main():
        async with open_gateway(config(), **GIVEN) as gateway:
            use(gateway)

    trio.run(main)


def on_asyncio(use):
    async def main():
        async with aio.open_gateway(config(), **GIVEN) as gateway:
            use(gateway)

    asyncio.run(main())


def blocks(use):
    with blocking.open_gateway(config(), **GIVEN) as gateway:
        use(gateway)


@pytest.mark.parametrize("face", [on_trio, on_asyncio, blocks], ids=lambda face: face.__name__)
@pytest.mark.parametrize("made", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_gateway_is_neither_copied_nor_pickled(face, made):
    def use(gateway):
        with pytest.raises(TypeError, match="a gateway cannot be copied or pickled: keep it"):
            made(gateway)

    face(use)
