"""What HTTP adapters share. The one room of core that awaits a network; adapters alone use it."""

from gateway_core.http.answers import Response, retry_after_seconds
from gateway_core.http.client import (
    HttpClient,
    Timeouts,
    UnreadableBody,
    open_client,
    transport_factory,
)
from gateway_core.http.urls import check_base_url

__all__ = [
    "HttpClient",
    "Response",
    "Timeouts",
    "UnreadableBody",
    "check_base_url",
    "open_client",
    "retry_after_seconds",
    "transport_factory",
]
