"""Gateways with certificates, and TLS clients that are not ours, on a network in memory."""

from __future__ import annotations

import functools
from typing import Any

from twisted.internet import ssl
from twisted.protocols.tls import TLSMemoryBIOFactory

from test.integration.certificates import demo_pki
from test.service.gateway_case import GatewayCase, One, Talker

HOST = "cloud.example.com"
"""The certificate of the cloud side is for *.example.com."""


@functools.cache
def security(side: str) -> str:
    """What stands in the file of a side: `cloud`, `onprem`, `tenant101` or `tenant201`. PEM is read soonest."""
    pki = demo_pki()
    keys = pki.directory / f"{side}-keys.pem"
    keys.write_bytes(pki.key(side).read_bytes() + pki.certificate(side).read_bytes())
    trust = pki.ca("client-ca") if side == "cloud" else pki.ca()
    stores = {"keystore": keys, "truststore": trust}
    inner = "".join(f"<{name}><type>PEM</type><file>{path}</file></{name}>" for name, path in stores.items())
    return f"<security>{inner}</security>"


class TlsCase(GatewayCase):
    """Clients with the certificates of tenants."""

    def tls(
        self, address: str, port: int, hello: bytes = b"", *, tenant: str | None = None, host: str = HOST
    ) -> Talker:
        """A client that speaks TLS and shows the certificate of a tenant, or none."""
        pki = demo_pki()
        certificate = None
        if tenant is not None:
            both = pki.key(tenant).read_bytes() + pki.certificate(tenant).read_bytes()
            certificate = ssl.PrivateCertificate.loadPEM(both)
        options = ssl.optionsForClientTLS(
            host,
            trustRoot=ssl.Certificate.loadPEM(pki.ca().read_bytes()),
            clientCertificate=certificate,
        )
        talker = Talker(hello)
        reactor: Any = self.network.hosts["user"]
        reactor.connectTCP(address, port, TLSMemoryBIOFactory(options, True, One(talker), reactor))
        return talker
