"""The pairs that are measured, in the order in which they stand in tables."""

from __future__ import annotations

from bench.pair import Pair
from bench.pairs.chisel import Chisel
from bench.pairs.direct import Direct
from bench.pairs.frp import Frp
from bench.pairs.haproxy import Haproxy
from bench.pairs.kwic import Kwic
from bench.pairs.nginx import Nginx
from bench.pairs.rathole import Rathole
from bench.pairs.socat import Socat
from bench.pairs.ssh import Ssh, SshAes
from bench.pairs.stunnel import Stunnel

PAIRS: dict[str, type[Pair]] = {
    kind.key: kind
    for kind in (Direct, Kwic, Nginx, Haproxy, Stunnel, SshAes, Ssh, Socat, Chisel, Frp, Rathole)
}
