"""Configures how requests leave a company's network: through its proxy, with its certificates.

Files are read when settings are made, so that a mistake shows at once, and again when a session
first connects.
"""

from __future__ import annotations

import os
import re
import ssl
import sys
from pathlib import Path
from typing import Any

import attrs

from gateway_core.contract.instances import Secret
from gateway_core.contract.problems import CheckedSettings
from gateway_core.contract.validators import as_path, flag
from gateway_core.http.urls import (
    Proxy,
    are_credentials,
    is_excepted,
    is_loopback,
    read_proxy,
)

_A_PROXY = "must be a proxy's URL with a port, as in http://proxy.example:3128"


def _is_proxy(_settings: Any, _field: Any, value: str | None) -> None:
    if value is None:
        return
    found = read_proxy(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError(f"'proxy' {_A_PROXY}")
    if found.credentials is not None:
        raise ValueError("'proxy' must have no user or password: give them as proxy_credentials")


def _are_credentials(settings: Any, _field: Any, value: Any) -> None:
    if value is None:
        return
    if not isinstance(value, Secret) or not are_credentials(value.reveal()):
        raise ValueError("'proxy_credentials' must be a user and a password, as in user:password")
    if settings is not None and settings.proxy is None:
        raise ValueError("'proxy_credentials' must be given together with `proxy`")


def _is_authority(_settings: Any, _field: Any, value: Any) -> None:
    if value is not None:
        _trust(_file(value, "'ca_file'"), "'ca_file'")


def _is_certificate(settings: Any, _field: Any, value: Any) -> None:
    if value is None:
        return
    _file(value, "'client_certificate'")
    if settings is not None:
        if settings.client_key is not None:
            _file(settings.client_key, "'client_key'")
        _show(_client_context(), settings)


def _is_key(settings: Any, _field: Any, value: Any) -> None:
    if value is None:
        return
    _file(value, "'client_key'")
    if settings is not None and settings.client_certificate is None:
        raise ValueError("'client_key' must be given together with `client_certificate`")


def _is_needed(settings: Any, _field: Any, value: object) -> None:
    if value is not None and settings is not None and settings.client_certificate is None:
        text = "'client_key_password' must be given together with `client_certificate`"
        raise ValueError(text)


def _is_sound(settings: Any, field: Any, value: object) -> None:
    flag(settings, field, value)
    if value:
        _environment_proxy()
        _environment_authority()


@attrs.frozen(kw_only=True)
class NetworkSettings(CheckedSettings):
    """Settings of an account's connection to its platform, for a channel's settings to inherit.

    proxy                an HTTP proxy for every connection, by CONNECT, such as
                         `http://proxy.example:3128`; use `https` if the proxy itself speaks TLS.
                         None: no proxy
    proxy_credentials    for a proxy that needs a login (`Basic`): a secret, `user:password`
    ca_file              a file of certificates (PEM) to trust instead of the system's, for example
                         if a company inspects TLS traffic
    client_certificate   a file with a client certificate (PEM) and its chain, for servers that ask
                         for one
    client_key           the file with the certificate's key; None: the key is in
                         `client_certificate`
    client_key_password  the password of that key: a secret
    trust_environment    read settings that are not given here from `HTTPS_PROXY`, `NO_PROXY` and
                         `SSL_CERT_FILE`. Off by default, because anybody who can set a variable of
                         the process could then read every message and the token
    """

    proxy: str | None = attrs.field(default=None, validator=_is_proxy)
    proxy_credentials: Secret | None = attrs.field(default=None, validator=_are_credentials)
    ca_file: Path | None = attrs.field(default=None, converter=as_path, validator=_is_authority)
    client_certificate: Path | None = attrs.field(
        default=None, converter=as_path, validator=_is_certificate
    )
    client_key: Path | None = attrs.field(default=None, converter=as_path, validator=_is_key)
    client_key_password: Secret | None = attrs.field(default=None, validator=_is_needed)
    trust_environment: bool = attrs.field(default=False, validator=_is_sound)


def proxy_for(network: NetworkSettings, scheme: str, host: str, port: int) -> Proxy | None:
    """The proxy that leads to an origin; None: none does. Raises ValueError for a bad variable.

    Proxies of the environment are used only for https, and never for this machine's own addresses.
    """
    if network.proxy is not None:
        found = read_proxy(network.proxy)
        return found and attrs.evolve(found, credentials=network.proxy_credentials)
    if not network.trust_environment or scheme != "https" or is_loopback(host):
        return None
    if is_excepted(host, port, _variable("no_proxy") or _variable("NO_PROXY")):
        return None
    return _environment_proxy()


def _variable(name: str) -> str:
    # Read only here: as a local of another frame, a variable's value could show in a traceback.
    return os.environ.get(name, "")


def _environment_proxy() -> Proxy | None:
    for name in ("https_proxy", "HTTPS_PROXY"):
        if not _variable(name):
            continue
        found = read_proxy(_variable(name)) or read_proxy(f"http://{_variable(name)}")
        if found is None:
            raise ValueError(f"{name} {_A_PROXY}, or http://user:password@proxy.example:3128")
        return found
    return None


def _environment_authority() -> Path | None:
    name = "SSL_CERT_FILE"
    if not _variable(name):
        return None
    _trust(_file(Path(_variable(name)), name), name)
    return Path(_variable(name))


# -- TLS contexts


def tls_for(network: NetworkSettings) -> ssl.SSLContext | None:
    """The TLS context for these settings; None: the process's own context serves.

    Raises ValueError for a file that cannot be used.
    """
    authority = network.ca_file
    if authority is None and network.trust_environment:
        authority = _environment_authority()
    if authority is None and network.client_certificate is None:
        return None
    context = system_context() if authority is None else _trust(authority, "'ca_file'")
    if network.client_certificate is not None:
        _show(context, network)
    return context


_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Arch
    "/etc/pki/tls/certs/ca-bundle.crt",  # Fedora
    "/etc/ssl/ca-bundle.pem",  # openSUSE
    "/etc/ssl/cert.pem",  # Alpine, BSD
)
"""Where systems keep trusted certificates, for a Python whose OpenSSL looks in another place."""


def system_context() -> ssl.SSLContext:
    """A context that trusts what the system trusts, whatever SSL_CERT_FILE and SSL_CERT_DIR say."""
    if sys.platform in {"win32", "darwin"}:  # these systems have no file of certificates
        import truststore  # noqa: PLC0415 - installed there alone

        return truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context = _client_context()
    compiled_in = ssl.get_default_verify_paths()
    file, folder = Path(compiled_in.openssl_cafile), Path(compiled_in.openssl_capath)
    hashed = folder.is_dir() and any(re.fullmatch(_HASHED, each.name) for each in folder.iterdir())
    if not file.is_file() and not hashed:
        file = next((path for path in map(Path, _BUNDLES) if path.is_file()), file)
    if file.is_file() or hashed:
        context.load_verify_locations(file if file.is_file() else None, folder if hashed else None)
    return context


_HASHED = r"[0-9a-f]{8}\.[0-9]+"
"""The names by which OpenSSL finds certificates in a folder: hashes of their subjects."""


def _client_context() -> ssl.SSLContext:
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _file(path: Any, name: str) -> Path:
    try:
        with Path(path).open("rb"):
            return Path(path)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be a path") from None
    except OSError as error:
        raise ValueError(f"{name} must be a file that can be read: {error.strerror}") from None


def _trust(file: Path, name: str) -> ssl.SSLContext:
    """A context that trusts the file's certificates and no others.

    It does not use `ssl.create_default_context`, which from Python 3.13 on requires more than many
    companies' certificates have, such as an authority key identifier.
    """
    context = _client_context()
    try:
        context.load_verify_locations(file)
    except OSError as error:  # ssl.SSLError is one
        text = f"{name} must be a file of certificates in PEM: {_why(error)}"
        raise ValueError(text) from None
    if not context.get_ca_certs():
        raise ValueError(f"{name} must hold the certificate of an authority")
    return context


def _why(error: Exception) -> str:
    """OpenSSL's words, without its library's and source file's names."""
    words = str(getattr(error, "strerror", None) or error)
    return re.sub(r"^\[[^\]]*\] ?| ?\(_ssl\.c:[0-9]+\)$", "", words) or "unreadable"


def _show(context: ssl.SSLContext, network: NetworkSettings) -> None:
    """Make the context show the client's certificate to servers."""
    password, key = network.client_key_password, network.client_key
    asked, where = False, network.client_certificate

    def reveal() -> str:
        nonlocal asked  # Without this function OpenSSL would ask at the terminal.
        asked = True
        return "" if password is None else password.reveal()

    try:
        context.load_cert_chain(where or "", key, reveal)
    except (OSError, ValueError) as error:
        if asked:
            text = "'client_key_password' must be the password of the client's key"
            raise ValueError(text) from None
        text = f"'client_certificate' must be a certificate in PEM, with its key: {_why(error)}"
        raise ValueError(text) from None
