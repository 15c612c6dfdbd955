"""`twistd kwic`: reads the options and the configuration file, and builds the gateway."""

from __future__ import annotations

import math
import os
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted.application.service import MultiService
from twisted.logger import ILogObserver
from twisted.python import usage
from twisted.python.components import Componentized

from kwic.cli.config_options import ConfigOptions, load_config, merged_defines
from kwic.config.model import GatewayConfig
from kwic.config.problem import ConfigError
from kwic.errors import SetupError
from kwic.logfile import make_observer
from kwic.memory import settle
from kwic.service.admin import Admin, pages_of
from kwic.service.assembly import assemble
from kwic.service.context import Context
from kwic.service.gateway import Gateway
from kwic.service.signals import Signals
from kwic.service.status import health, metrics, status
from kwic.service.worker import SOCKETS, Supervised, Worker
from kwic.transport.connection_log import ConnectionLog
from kwic.transport.lean_reactor import lighten
from kwic.transport.remembered_names import RememberingResolver
from kwic.transport.resolver import FixedNames, FixedResolver
from kwic.transport.tls import Credentials

if TYPE_CHECKING:
    from kwic.service.workers import Workers

LOGGING_PROPERTY = "com.kaazing.kwic.logging"
#: More would be a mistake: each has links to all others, and tunnels of its own.
WORKERS_MAXIMUM = 64
#: What `twistd` runs.
TWISTD = "from twisted.scripts.twistd import run; run()"
_WORKER = "--worker="


class Options(ConfigOptions):
    """What can be said on the command line of `twistd kwic`."""

    synopsis = "--config FILE [options]"
    about = """\
Runs one KWIC gateway from its configuration file.

GATEWAY_OPTS in the environment may hold -Dname=value as well; the command line wins. Options of twistd
itself (-n, --pidfile, --logfile, --uid …) stand before the word kwic. SIGTERM drains: open connections may
finish within --grace; a second one ends at once. SIGHUP reads the key and trust stores again.
"""
    examples = (
        (
            "twistd -n kwic --config cloud-config.xml -D cloud-node-hostname=cloud1.example.com",
            "a cloud node, in the foreground",
        ),
        ("kwic check cloud-config.xml onprem-config.xml", "first see whether both sides fit"),
    )

    optParameters = [
        ["config", "c", None, "The configuration file (required)."],
        ["admin", None, None, "Serve /status, /health and /metrics at HOST:PORT or unix:PATH."],
        [
            "node",
            None,
            None,
            "What this instance is called by its peers and in logs [default: the host name].",
        ],
        ["grace", None, "30", "Seconds that open connections may take to finish when the gateway stops."],
        ["log-level", None, "info", "The lowest level that is logged: debug, info, warn or error."],
        [
            "workers",
            None,
            "1",
            "Processes that share the work: one for each core of the machine, for example.",
        ],
    ]

    def __init__(self) -> None:
        super().__init__()
        #: Which of several processes this one is: said by their supervisor, and not for people.
        self.worker: Worker | None = None

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """
        Read the command line.

        :raises SystemExit: when it makes no sense. What is wrong has been printed, and nothing else: twistd would print the whole help above it.
        """
        words = list(sys.argv[1:] if options is None else options)
        try:
            super().parseOptions([word for word in words if not word.startswith(_WORKER)])
            for word in words:
                if word.startswith(_WORKER):
                    self.worker = Worker.parse(word.removeprefix(_WORKER), os.environ.get(SOCKETS, ""))
        except (usage.UsageError, SetupError) as error:
            print(f"error: {error}\nsee twistd kwic --help", file=sys.stderr)
            raise SystemExit(1) from None

    def parseArgs(self, *words: str) -> None:
        """Every word belongs to an option."""
        if words:
            advice = "nothing more is expected here" if self["config"] else f"write --config {words[0]}"
            raise usage.UsageError(f"{words[0]!r} belongs to no option; {advice}")

    def postOptions(self) -> None:
        """Check what can be checked without the file."""
        if not self["config"]:
            raise usage.UsageError("say which configuration file: --config FILE")
        try:
            grace_s = float(self["grace"])
        except ValueError:
            grace_s = math.nan
        if not 0 <= grace_s < math.inf:
            raise usage.UsageError(f"--grace {self['grace']}: write a number of seconds")
        self["grace"] = grace_s
        if self["log-level"] not in ("debug", "info", "warn", "error"):
            raise usage.UsageError(f"--log-level {self['log-level']}: write debug, info, warn or error")
        if not self["workers"].isdecimal() or not 0 < int(self["workers"]) <= WORKERS_MAXIMUM:
            raise usage.UsageError(
                f"--workers {self['workers']}: write a number from 1 to {WORKERS_MAXIMUM}, of cores for example"
            )
        self["workers"] = int(self["workers"])
        if self["workers"] > 1:
            self._check_workers()

    def _check_workers(self) -> None:
        if not hasattr(socket, "SO_REUSEPORT"):
            raise usage.UsageError("--workers: this system cannot share listening sockets (SO_REUSEPORT)")
        twistd: Any = self.parent or {}
        if twistd.get("uid") is not None or twistd.get("gid") is not None:
            raise usage.UsageError(
                "--workers does not go with --uid and --gid of twistd: start as that user; ports below 1024 need CAP_NET_BIND_SERVICE"
            )

    def for_worker(self) -> list[str]:
        """The options that every worker is started with."""
        given = [f"--config={Path(self['config']).absolute()}", f"--grace={self['grace']}"]
        given += [f"--log-level={self['log-level']}"]
        if self["node"]:
            given.append(f"--node={self['node']}")
        given += [f"--resolve={resolve}" for resolve in self.resolves]
        for name, value in self.defines.items():
            given += ["-D", f"{name}={value}"]
        return given


def makeService(options: Options) -> MultiService:
    """
    Build the gateway that the options ask for.

    :raises SystemExit: when it cannot be built; every reason has been printed.
    """
    from twisted.internet import reactor

    try:
        names = FixedNames.parse(options.resolves)
        config = load(options, dict(os.environ))
        context = make_context(options, config, names, reactor)
        gateway = assemble(config, context)
        if options.worker is not None:
            Supervised(reactor, answers_of(gateway)).setServiceParent(gateway)
        served = supervise(gateway, options, reactor) if options["workers"] > 1 else gateway
        if options["admin"]:
            pages = pages_of(served) if isinstance(served, Gateway) else served.pages()
            Admin(reactor, options["admin"], pages).setServiceParent(served)
    except ConfigError as error:
        complain(problem.render() for problem in error.problems)
    except SetupError as error:
        complain([f"error: {error}"])
    reactor.installNameResolver(RememberingResolver(reactor, reactor.nameResolver))  # type: ignore[attr-defined]
    if names.hosts:
        reactor.installNameResolver(FixedResolver(names, reactor.nameResolver))  # type: ignore[attr-defined]
    if options.worker is not None:
        # What a terminal tells everybody, the supervisor tells its workers: once.
        os.setsid()
    signals = Signals(reactor, hurry=served.hurry, reload=served.reload)
    # Twisted's own handlers are in place when the reactor runs, and are replaced.
    reactor.callWhenRunning(signals.install)
    reactor.callWhenRunning(settle)
    lighten(reactor)
    return Logged(served, options, signals)


def supervise(gateway: Gateway, options: Options, reactor: Any) -> Workers:
    """The supervisor of so many processes, each of which is what this gateway would be."""
    from kwic.service.worker_process import environment
    from kwic.service.workers import Workers, worker_command

    twistd: Any = options.parent or {}
    given, chosen = options.for_worker(), twistd.get("reactor")

    def command(worker: Worker) -> list[str]:
        return worker_command(TWISTD, chosen, given, worker)

    def give_up() -> None:
        # Twistd knows no status for a service that ends by itself.
        reactor.addSystemEventTrigger("after", "shutdown", end, twistd)
        reactor.stop()

    return Workers(gateway, options["workers"], command, environment(os.environ, sys.path), give_up)


def end(twistd: Any) -> None:
    """End the process with status 1, when all is stopped."""
    clean_up(twistd)
    sys.stdout.flush()
    os._exit(1)


def answers_of(gateway: Gateway) -> dict[str, Callable[[], Any]]:
    """What a worker may be asked by its supervisor."""
    return {
        "status": lambda: status(gateway),
        "health": lambda: health(gateway),
        "metrics": lambda: metrics(gateway),
    }


def complain(lines: Any) -> Any:
    """Say what is wrong, and end."""
    for line in lines:
        print(line, file=sys.stderr)
    raise SystemExit(1)


def load(options: Options, environ: dict[str, str]) -> GatewayConfig:
    """Read the file, with the properties of the environment and of the command line."""
    defines, warnings = merged_defines(options.defines, environ)
    for warning in warnings:
        print(warning.render(), file=sys.stderr)
    return load_config(Path(options["config"]), defines, environ)


def make_context(options: Options, config: GatewayConfig, names: FixedNames, reactor: Any) -> Context:
    """The surroundings of the gateway."""
    log_clients = config.properties.get(LOGGING_PROPERTY, "").lower() == "on"
    node, worker = options["node"] or socket.gethostname(), options.worker
    return Context(
        reactor=reactor,
        credentials=Credentials.from_security(config.security),
        names=names,
        node=node if worker is None else worker.node(node),
        worker=worker,
        properties=config.properties,
        environ=dict(os.environ),
        connection_log=ConnectionLog(),
        log_clients=log_clients,
        grace_s=options["grace"],
    )


class Logged(MultiService):
    """
    The gateway, with the log as its operators know it.

    :param gateway: the only child.
    :param options: where twistd was told to log.
    :param signals: they wait until the reactor runs, so that whoever has started is stopped in order.
    """

    def __init__(self, gateway: MultiService, options: Options, signals: Signals) -> None:
        super().__init__()
        self._options = options
        self._signals = signals
        gateway.setServiceParent(self)

    def setServiceParent(self, parent: Any) -> None:
        """Twistd takes the observer from the application, once the services are there."""
        twistd: Any = self._options.parent or {}
        chosen_elsewhere = twistd.get("syslog") or twistd.get("logger")
        if isinstance(parent, Componentized) and not chosen_elsewhere:
            logfile = twistd.get("logfile")
            if not logfile and not twistd.get("nodaemon"):
                logfile = "kwic.log"
            observer = make_observer(logfile=logfile, level=self._options["log-level"])
            parent.setComponent(ILogObserver, observer)
        super().setServiceParent(parent)

    def privilegedStartService(self) -> None:
        """
        Start the gateway.

        :raises SystemExit: when it cannot start; every reason is logged.
        """
        self._signals.hold()
        try:
            super().privilegedStartService()
        except SystemExit:
            clean_up(self._options.parent or {})
            raise


def clean_up(twistd: Any) -> None:
    """
    Do what twistd does for every exception but a SystemExit, which is none to it.

    :param twistd: its options.
    """
    if twistd.get("pidfile"):
        Path(twistd["pidfile"]).unlink(missing_ok=True)
    # The process that was called waits for word from the daemon, and does not notice its end: it holds both ends of their pipe itself.
    pipe = twistd.get("statusPipe")
    if pipe is not None:
        os.write(pipe, b"1 the gateway cannot start")
        os.close(pipe)
