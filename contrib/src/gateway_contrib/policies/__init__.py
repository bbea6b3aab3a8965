"""Ready-made policies; give them to a gateway with `open_gateway(…, plugins=[Footer("…")])`."""

from gateway_contrib.policies.audit import AuditLog
from gateway_contrib.policies.dead_rooms import DeadRoom, DeadRooms
from gateway_contrib.policies.footer import Footer
from gateway_contrib.policies.masking import SECRETS, Masking
from gateway_contrib.policies.quiet_hours import QuietHours
from gateway_contrib.policies.redirection import Redirection
from gateway_contrib.policies.repeats import NoRepeats

__all__ = [
    "SECRETS",
    "AuditLog",
    "DeadRoom",
    "DeadRooms",
    "Footer",
    "Masking",
    "NoRepeats",
    "QuietHours",
    "Redirection",
]
