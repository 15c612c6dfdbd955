"""The XML files of our two gateways, as an operator would write them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from bench.certificates import Certificates, Identity

CLOUD_SERVICE = """\
    <service>
        <name>{name}</name>
        <accept>tcp://127.0.0.1:{port}</accept>
        <connect>pipe://{name}</connect>
        <type>proxy</type>
        <connect-options>
            <pipe.transport>socks://{host}:{middle}</pipe.transport>
            <socks.mode>reverse</socks.mode>
            <socks.transport>wss://{host}:{middle}/kwic</socks.transport>
            <socks.ssl.verify-client>required</socks.ssl.verify-client>
        </connect-options>
    </service>
"""

ONPREM_SERVICE = """\
    <service>
        <name>{name}</name>
        <accept>pipe://{name}</accept>
        <connect>tcp://127.0.0.1:{port}</connect>
        <type>proxy</type>
        <accept-options>
            <pipe.transport>socks://{host}:{middle}</pipe.transport>
            <socks.mode>reverse</socks.mode>
            <socks.transport>wsn+ssl://{host}:{middle}/kwic</socks.transport>
        </accept-options>
    </service>
"""

CONFIG = """\
<?xml version="1.0" encoding="UTF-8"?>
<gateway-config xmlns="http://xmlns.kaazing.org/2016/06/gateway">
{services}    <security>
        <keystore>
            <type>PEM</type>
            <file>{keystore}</file>
        </keystore>
        <truststore>
            <type>PEM</type>
            <file>{truststore}</file>
        </truststore>
    </security>
</gateway-config>
"""


@dataclass(frozen=True, kw_only=True)
class Rendezvous:
    """Where the tunnel is: the cloud side listens there, the on-prem side dials it.

    :param host: its name, which the cloud side's certificate proves.
    :param port: its port.
    :param certificates: of both sides.
    """

    host: str
    port: int
    certificates: Certificates


def cloud_config(rendezvous: Rendezvous, names: Sequence[str], front_port: int) -> str:
    """The file of the side that clients connect to.

    :param rendezvous: where the tunnel is.
    :param names: the reverse names.
    :param front_port: where clients of the first name connect; the others follow.
    """
    services = [
        CLOUD_SERVICE.format(
            name=name, port=front_port + number, host=rendezvous.host, middle=rendezvous.port
        )
        for number, name in enumerate(names)
    ]
    return _config(services, rendezvous.certificates.server, rendezvous.certificates.client)


def onprem_config(rendezvous: Rendezvous, names: Iterable[str], server_port: int) -> str:
    """The file of the side that dials the tunnel and the server.

    :param rendezvous: where the tunnel is.
    :param names: the reverse names.
    :param server_port: where the server of all of them listens.
    """
    services = [
        ONPREM_SERVICE.format(name=name, port=server_port, host=rendezvous.host, middle=rendezvous.port)
        for name in names
    ]
    return _config(services, rendezvous.certificates.client, rendezvous.certificates.server)


def joined(one: str, other: str) -> str:
    """The services of two files in one, with the stores of the first.

    :param one: a file.
    :param other: another one.
    """
    begin = other.index("    <service>")
    end = other.rindex("    </service>\n") + len("    </service>\n")
    return one.replace("    <security>", f"{other[begin:end]}    <security>", 1)


def _config(services: Iterable[str], us: Identity, them: Identity) -> str:
    return CONFIG.format(
        services="".join(services), keystore=escape(str(us.both)), truststore=escape(str(them.ca))
    )
