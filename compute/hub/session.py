"""The client that asks the Hub. Where the Hub sends us on to, we follow by https alone and into no private network.

An operator's HF_ENDPOINT may lie wherever the operator says; what an answer names may not.
"""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import urlsplit

import httpx2
from huggingface_hub import set_client_factory
from huggingface_hub.utils import get_session
from huggingface_hub.utils._http import default_client_factory

from compute.errors import CheckpointError
from compute.hub.failures import endpoint

_THIS_MACHINE = ("localhost", "127.0.0.1", "::1")


def session() -> httpx2.Client:
    """The client that all requests to the Hub share, those of huggingface_hub too."""
    return get_session()


def refuse_elsewhere(request: httpx2.Request) -> None:
    """Called before every request, redirected ones too; raises CheckpointError for an address that is not followed."""
    host, hub = request.url.host, str(urlsplit(endpoint()).hostname)
    if host == hub or (host in _THIS_MACHINE and hub in _THIS_MACHINE):
        return
    if request.url.scheme != "https":
        raise CheckpointError(
            f"The Hub sent us on to {host} without https, where anybody could change what comes; nothing was fetched."
        )
    if inner := _private_address(host):
        raise CheckpointError(
            f"The Hub sent us on to {host}, which is {inner}, an address within a private network; nothing was "
            "fetched. If a mirror of yours does that on purpose, name the mirror itself in HF_ENDPOINT."
        )


def _private_address(host: str) -> str:
    """One that the whole Internet does not know; empty where there is none, or the name is unknown here."""
    try:
        found = socket.getaddrinfo(host, None, proto=socket.IPPROTO_TCP)
    except OSError:  # a proxy may know the name; else the request itself fails
        return ""
    addresses = {str(entry[4][0]).partition("%")[0] for entry in found}
    return next((address for address in sorted(addresses) if not ipaddress.ip_address(address).is_global), "")


def _client() -> httpx2.Client:
    client = default_client_factory()
    hooks = client.event_hooks
    client.event_hooks = {**hooks, "request": [*hooks.get("request", []), refuse_elsewhere]}
    return client


set_client_factory(_client)
