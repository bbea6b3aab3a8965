"""The contract of a channel as tests: authors of an adapter write a subclass for their adapter.

An example, with a server in memory instead of the platform:

    class TestMatrix(ChannelContract):
        channel = "matrix"
        adapter = gateway_plugin_matrix.hooks
        room = "!lobby:example.org"

        def settings(self):
            return MatrixSettings(token=Secret("t0p"), base_url="https://matrix.example.org")

        @asynccontextmanager
        async def platform(self):
            async with open_network() as network:
                network.mount("https://matrix.example.org", MatrixServer())
                yield network

They need pytest and pytest-trio (`trio_mode = true`), and take no time if `clock` is virtual.
"""

from gateway_core.testing.channel_contract.awaiting import AwaitingContract
from gateway_core.testing.channel_contract.fields import FieldsContract
from gateway_core.testing.channel_contract.files import FilesContract
from gateway_core.testing.channel_contract.making import ALONE
from gateway_core.testing.channel_contract.marks import MarksContract
from gateway_core.testing.channel_contract.polls import PollsContract
from gateway_core.testing.channel_contract.pure import PureContract
from gateway_core.testing.channel_contract.refusals import RefusalsContract
from gateway_core.testing.channel_contract.whole import WholeContract


class ChannelContract(
    PureContract,
    AwaitingContract,
    WholeContract,
    MarksContract,
    FilesContract,
    PollsContract,
    FieldsContract,
    RefusalsContract,
):
    """Tests of what every adapter must do. Each test opens the platform anew and sends little.

    channel             the name of the entry point
    adapter             the module, or the object, with the hookimpls
    room                a room on the platform of these tests
    event               an event of the platform: somebody's message in that room; None: the adapter
                        has no `address`
    edits_give_new_ids  whether the platform gives an edited message another id
    """


__all__ = ["ALONE", "ChannelContract"]
