"""`kwic certs`: make the certificates of a trial, or look into any store."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from twisted.python import usage

from kwic.cli.config_options import VerbOptions, options_first
from kwic.errors import SetupError
from kwic.transport.demo_pki import (
    CLOUD,
    DEFAULT_CLIENTS,
    DEFAULT_DAYS,
    DEFAULT_HOSTS,
    DemoPki,
    DemoPlan,
    check_demo_pki,
    make_demo_pki,
)
from kwic.transport.entries import StoreFormat
from kwic.transport.inventory import inventory, problems
from kwic.transport.stores import load_store, read_password

_HOST = re.compile(r"(\*\.)?[A-Za-z0-9._:-]{1,253}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_COMMON_NAME_LIMIT = 64  # X.520
_FORMATS = {store_format.value.lower(): store_format for store_format in StoreFormat}


class ShowOptions(VerbOptions):
    """The words after `kwic certs show`."""

    synopsis = "kwic certs show STORE [--password-file FILE]"
    about = """\
Prints what a keystore or truststore holds: names, issuer, validity, usage and fingerprint of each
certificate, never a private key. STORE may be JKS, JCEKS, PKCS12, PEM, or a directory of PEM files; the
format is found by looking.
Exit status: 0 done, 1 it cannot be opened or a certificate in it does not hold today, 2 called wrongly.
"""
    examples = (
        ("kwic certs show x509/stores/keystore-cloud.jceks", "its password is in keystore-cloud.pw"),
        ("kwic certs show gateway.p12 --password-file secret", "its password is somewhere else"),
    )

    optParameters = [
        [
            "password-file",
            "p",
            None,
            "File with the store's password in its first line. Default: the file of the same name that ends in .pw",
        ],
    ]

    def parseArgs(self, store: str) -> None:  # type: ignore[override]
        """Twisted hands over what is left when the options are taken out."""
        self["store"] = Path(store)

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """As its base, but options may also stand behind the store."""
        super().parseOptions(options_first(self, options))


class Options(VerbOptions):
    """The words after `kwic certs`."""

    synopsis = "kwic certs DIR [options]\n       kwic certs show STORE [--password-file FILE]"
    about = """\
Makes everything that a trial with TLS needs, in DIR: a CA for servers, a CA for clients, a certificate for
the cloud gateways, one for each on-prem side, and the stores that the KWIC tutorials name, each with its
password next to it: DIR/stores/keystore-cloud.jceks, truststore-cloud.jceks (holds the client CA),
keystore-onprem.jceks, truststore-onprem.jceks (holds the server CA). Not for production: the private keys of
the CAs lie in DIR/ca/private. `kwic certs show --help` tells about looking into a store.
Exit status: 0 done, 1 something is in the way, 2 called wrongly.
"""
    examples = (
        ("kwic certs x509", "example.com, and one tenant"),
        ("kwic certs x509 --host cloud.example.com --client office", "names of your own"),
        ("kwic certs show x509/stores/keystore-cloud.jceks", "look into any store"),
    )

    optParameters = [
        ["days", None, DEFAULT_DAYS, "How long the certificates hold.", float],
        ["password", None, None, "Password for every store. Default: a random one for each."],
    ]
    optFlags = [
        [
            "rsa",
            None,
            "RSA keys, for peers that know nothing else; they take a moment. Default: EC on P-256.",
        ],
        ["force", None, "Replace what is there, the CAs too."],
        ["renew", None, "Keep the CAs and passwords in DIR, replace the certificates they signed."],
        [
            "if-missing",
            None,
            "Do nothing when the stores are there and hold today: for containers that run at every start.",
        ],
    ]

    def __init__(self) -> None:
        super().__init__()
        self.hosts: list[str] = []
        self.clients: dict[str, str] = {}
        self.formats: list[StoreFormat] = []
        self.show: ShowOptions | None = None

    def opt_host(self, name: str) -> None:
        """A name or address the cloud gateways are called by, *.example.com too; may be given again. Default: example.com and *.example.com."""
        if not _HOST.fullmatch(name):
            raise usage.UsageError(f"--host {name}: a host name, *.domain or an IP address is wanted")
        self.hosts.append(name.lower())

    def opt_client(self, name: str) -> None:
        """An on-prem side: its stores are keystore-NAME and truststore-NAME, its certificate says CN=NAME, or CN=OTHER when given as NAME=OTHER; may be given again. Default: onprem=tenant101."""
        side, _, common_name = name.partition("=")
        if not _NAME.fullmatch(side) or len(common_name) > _COMMON_NAME_LIMIT:
            raise usage.UsageError(
                f"--client {name}: a name of up to 64 letters, digits, dots and dashes is wanted"
            )
        self.clients[side] = common_name or side

    def opt_format(self, name: str) -> None:
        """jceks, jks, pkcs12 or pem; may be given again for several. Default: jceks."""
        try:
            self.formats.append(_FORMATS[name.lower()])
        except KeyError as error:
            raise usage.UsageError(f"--format {name}: use one of {', '.join(sorted(_FORMATS))}") from error

    def parseArgs(self, directory: str) -> None:  # type: ignore[override]
        """Twisted hands over what is left when the options are taken out."""
        self["directory"] = Path(directory)

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """As its base, but options may also stand behind DIR, and `show` has its own."""
        words = list(sys.argv[1:] if options is None else options)
        if words[:1] == ["show"]:
            self.show = ShowOptions()
            self.show.parseOptions(words[1:])
        else:
            super().parseOptions(options_first(self, words))

    def postOptions(self) -> None:
        """:raises UsageError: options that exclude each other."""
        if sum(self[flag] for flag in ("force", "renew", "if-missing")) > 1:
            raise usage.UsageError("--force, --renew and --if-missing exclude each other")

    @property
    def plan(self) -> DemoPlan:
        """What is to be made."""
        return DemoPlan(
            hosts=tuple(self.hosts) or DEFAULT_HOSTS,
            clients=self.clients or DEFAULT_CLIENTS,
            days=self["days"],
            use_rsa=bool(self["rsa"]),
            formats=tuple(dict.fromkeys(self.formats)) or (StoreFormat.JCEKS,),
            password=self["password"],
        )


def run(options: Options) -> int:
    """Do what was asked; :returns: the exit status."""
    try:
        return _show(options.show) if options.show is not None else _make(options)
    except SetupError as error:
        print(f"kwic certs: {error}", file=sys.stderr)
        return 1


def _make(options: Options) -> int:
    directory, plan, now_s = options["directory"], options.plan, time.time()
    if options["if-missing"]:
        there = check_demo_pki(directory, plan, now_s=now_s)
        if there is not None:
            print(f"{there.directory / 'stores'}: the stores are there and hold today")
            return 0
    pki = make_demo_pki(
        directory, plan, now_s=now_s, force=bool(options["force"]), renew=bool(options["renew"])
    )
    for line in _made(pki, plan):
        print(line)
    return 0


def _made(pki: DemoPki, plan: DemoPlan) -> list[str]:
    lines = [f"certificates for {plan.days:g} days, passwords next to the stores in .pw files"]
    for side in plan.sides:
        who = ", ".join(plan.hosts) if side == CLOUD else f"CN={plan.clients[side]}"
        lines.append(f"{side}: {who}")
        for store_format in plan.formats:
            lines.append(f"  keystore    {pki.keystore(side, store_format)}")
            lines.append(f"  truststore  {pki.truststore(side, store_format)}")
    return lines


def _show(options: ShowOptions) -> int:
    path: Path = options["store"]
    password_file = Path(options["password-file"]) if options["password-file"] else path.with_suffix(".pw")
    password = read_password(password_file) if options["password-file"] or password_file.is_file() else None
    store = load_store(path, password)
    now_s = time.time()
    for line in inventory(store, now_s):
        print(line)
    found = problems(store, now_s)
    for line in found:
        print(f"kwic certs: {line}", file=sys.stderr)
    return 1 if found else 0
