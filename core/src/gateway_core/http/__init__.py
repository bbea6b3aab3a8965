"""Performs HTTP for adapters, the only network that core awaits; may import `contract` alone."""

try:
    from gateway_core.http.answers import Response, UnreadableBody, retry_after_seconds
    from gateway_core.http.bodies.files import FileSource
    from gateway_core.http.bodies.multipart import FormField, Multipart, RawBody
    from gateway_core.http.bodies.sources import ByteSource, BytesSource
    from gateway_core.http.client import HttpClient, open_client
    from gateway_core.http.foreign import foreign_verdict, is_page
    from gateway_core.http.network import NetworkSettings
    from gateway_core.http.progress import Timeouts
    from gateway_core.http.replaced import transport_factory
    from gateway_core.http.urls import base_url, check_base_url
except ModuleNotFoundError as error:
    text = f"gateway_core.http needs {error.name}: install 'gateway-core[http]'"
    raise ModuleNotFoundError(text, name=error.name) from error

__all__ = [
    "ByteSource",
    "BytesSource",
    "FileSource",
    "FormField",
    "HttpClient",
    "Multipart",
    "NetworkSettings",
    "RawBody",
    "Response",
    "Timeouts",
    "UnreadableBody",
    "base_url",
    "check_base_url",
    "foreign_verdict",
    "is_page",
    "open_client",
    "retry_after_seconds",
    "transport_factory",
]
