"""Certificates for the tests that need some: made once, since nobody changes them."""

from __future__ import annotations

import atexit
import functools
import shutil
import ssl
import tempfile
import time
from pathlib import Path

from kwic.transport.demo_pki import DemoPki, DemoPlan, make_demo_pki

CLIENTS = {"onprem": "onprem", "tenant101": "tenant101", "tenant201": "tenant201"}
DAYS = 30


@functools.cache
def demo_pki() -> DemoPki:
    """Certificates and stores for all scenarios."""
    folder = Path(tempfile.mkdtemp(prefix="kwic-test-pki-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return make_demo_pki(folder, DemoPlan(clients=CLIENTS, days=DAYS), now_s=time.time())


def stores() -> str:
    """The folder that the scenarios' files call `stores`."""
    return str(demo_pki().directory / "stores")


def client_context(side: str | None) -> ssl.SSLContext:
    """The context of a client that is not ours, and trusts the cloud's authority.

    :param side: whose certificate it shows, None for no certificate.
    """
    pki = demo_pki()
    context = ssl.create_default_context(cafile=str(pki.ca()))
    if side is not None:
        context.load_cert_chain(pki.certificate(side), pki.key(side))
    return context


def server_context() -> ssl.SSLContext:
    """The context of a server that is not ours, and asks for a certificate from the clients' authority."""
    pki = demo_pki()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki.certificate("cloud"), pki.key("cloud"))
    context.load_verify_locations(str(pki.ca("client-ca")))
    context.verify_mode = ssl.CERT_REQUIRED
    return context
