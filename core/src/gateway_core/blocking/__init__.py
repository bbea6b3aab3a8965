"""The gateway for programs that block, from any thread; may import `aio` and below.

`open_gateway` names a gateway, which opens at its first use, in the process that uses it, or for a
`with` block. It has the methods of `gateway_core.Gateway` without async. If a `timeout` ends,
the `TimeoutError` says what becomes of the envelope. A gateway that is open when the process exits
is drained. `blocking.celery` opens and closes a gateway in Celery's worker processes.
"""

from gateway_core.blocking import celery
from gateway_core.blocking.gateway import Gateway, open_gateway
from gateway_core.blocking.groups import Job
from gateway_core.blocking.streams import Stream
from gateway_core.blocking.tickets import Ticket

__all__ = ["Gateway", "Job", "Stream", "Ticket", "celery", "open_gateway"]
