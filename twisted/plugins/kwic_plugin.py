"""Tells twistd about `twistd kwic`."""

from twisted.application.service import ServiceMaker

kwic = ServiceMaker(
    "KWIC gateway",
    "kwic.tap",
    "The gateway that joins a cloud and a data centre through a firewall that lets nothing in.",
    "kwic",
)
