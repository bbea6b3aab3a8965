"""The gateway for programs that block, from any thread; may import `aio` and below.

`open_gateway` names a gateway that opens at its first use, in the process that uses it, or for a
`with` block, and gives the methods of `gateway_core.Gateway` without async. A `timeout` withdraws
what has not started. What is open as the process exits is drained. `blocking.celery` opens and
closes it in Celery's worker processes.
"""

from gateway_core.blocking import celery
from gateway_core.blocking.gateway import Gateway, open_gateway
from gateway_core.blocking.groups import Job
from gateway_core.blocking.streams import Stream
from gateway_core.blocking.tickets import Ticket

__all__ = ["Gateway", "Job", "Stream", "Ticket", "celery", "open_gateway"]
