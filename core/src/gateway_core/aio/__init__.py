"""The gateway for programs on asyncio; may import `bridge` and below.

`open_gateway` is an async context manager under asyncio and uvloop. It gives a gateway with the
methods of `gateway_core.Gateway`, and a method that is awaited there is awaited here. The gateway
runs on a thread of its own, so that a program that blocks its loop delays no message.
"""

from gateway_core.aio.gateway import Gateway
from gateway_core.aio.groups import Job
from gateway_core.aio.opening import open_gateway
from gateway_core.aio.streams import Stream
from gateway_core.aio.tickets import Ticket

__all__ = ["Gateway", "Job", "Stream", "Ticket", "open_gateway"]
