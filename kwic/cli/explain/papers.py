"""What an instance shows of itself in TLS, and whom it believes, in words; with names where its stores are on this machine."""

from __future__ import annotations

from kwic.cli.holdings import Holdings
from kwic.config.ends import End
from kwic.config.model import GatewayConfig, Store, TlsOptions, VerifyClient
from kwic.config.words import listed, shown
from kwic.errors import SetupError
from kwic.transport.certificates import day, host_names, subject
from kwic.transport.entries import KeyEntry

MOST_NAMES = 3
"""Names that are listed; of more, the rest is counted."""
_VERSIONS = ("TLSv1.3", "TLSv1.2")


class Papers:
    """The stores of one instance."""

    def __init__(self, config: GatewayConfig, holdings: Holdings, now_s: float) -> None:
        """:param now_s: the time, in seconds since the epoch: an old certificate is not the one that is shown."""
        self._security = config.security
        self._material = holdings.material
        self._now_s = now_s

    def as_server(self, host: str) -> str:
        """:returns: what a listener shows to a client that asks for a host."""
        keystore = self._security.keystore
        if keystore is None:
            return "no certificate: there is no keystore"
        try:
            entry = self._material.server_entry(host, self._now_s) if self._material.keystore else None
        except SetupError as error:
            return f"nothing: {error}"
        return (
            f"the certificate for {host or 'any host'} in {keystore.file}"
            if entry is None
            else _described(entry)
        )

    def as_client(self) -> str:
        """:returns: what is shown to a server that asks for a certificate."""
        keystore = self._security.keystore
        if keystore is None:
            return "no certificate: there is no keystore"
        if self._material.keystore is None:
            return f"the client certificate in {keystore.file}"
        try:
            entry = self._material.client_entry(self._now_s)
        except SetupError as error:
            return f"nothing: {error}"
        return (
            "no certificate: none in the keystore is meant for clients"
            if entry is None
            else _described(entry)
        )

    def trusted(self) -> str:
        """:returns: where the certificates of others must lead."""
        truststore = self._material.truststore
        if truststore is not None:
            names = sorted({subject(anchor) for anchor in truststore.anchors})
            return several(names, "or")
        asked: Store | None = self._security.truststore
        return "a public CA that this system trusts" if asked is None else f"a CA in {asked.file}"

    # -- ends ---------------------------------------------------------------------------------------------------------------

    def tls(self, end: End, tls: TlsOptions) -> str:
        """:returns: what is spoken at an end, and what the dialled side has to prove.

        :param tls: for a listening end, what all that share its socket agree on.
        """
        if not end.address.secure:
            return "none"
        if not end.secure:
            return "none here: something in between puts it on or takes it off (ssl.encryption disabled)"
        spoken = versions(tls)
        if end.listens:
            return f"{spoken}; we show {self.as_server(end.address.host)}"
        return f"{spoken}; the other end must prove to be {end.address.host}, by a certificate from {self.trusted()}"

    def identity(self, end: End, tls: TlsOptions) -> str:
        """:returns: who the dialling side is known to be."""
        if not end.secure:
            return "anybody: nothing is proven" if end.listens else "we prove nothing"
        if not end.listens:
            return f"we show {self.as_client()}, if we are asked"
        mode = tls.verify_client or VerifyClient.NONE
        if mode is VerifyClient.NONE:
            return "anybody: no certificate is asked for"
        if mode is VerifyClient.OPTIONAL:
            return f"anybody; who shows a certificate must have it from {self.trusted()}"
        return f"only those with a certificate from {self.trusted()}"


def versions(tls: TlsOptions) -> str:
    """:returns: the versions of TLS that are spoken, newest first: ``1.3 or 1.2``."""
    spoken = [name for name in _VERSIONS if tls.protocols is None or name in tls.protocols]
    return listed(name.removeprefix("TLSv") for name in spoken)


def several(names: list[str], last: str) -> str:
    """:returns: the first of some names, and how many more there are."""
    more = len(names) - MOST_NAMES
    return f"{', '.join(names[:MOST_NAMES])} {last} {more} others" if more > 0 else listed(names, last)


def _described(entry: KeyEntry) -> str:
    certificate = entry.certificate
    names = [
        shown(name).strip("“”") for name in host_names(certificate) if f"CN={name}" != subject(certificate)
    ]
    also = f" (for {several(names, 'and')})" if names else ""
    return f"{subject(certificate)}{also}, good until {day(certificate.not_valid_after_utc)[:10]}"
