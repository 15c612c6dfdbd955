"""What holds several processes together that are one instance."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.internet.task import Clock
from twisted.logger import LogLevel
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from kwic.errors import SetupError
from kwic.policy.backoff import Backoff
from kwic.service.joint import Joint
from kwic.service.membership import Alone, Member, OwnState
from kwic.service.status import _family
from kwic.service.worker import Channel, Worker, listed
from kwic.service.worker_process import (
    ANSWER_S,
    BEAT_S,
    LINE_MAXIMUM_BYTES,
    MISSED_MAXIMUM,
    WorkerProcess,
    environment,
)
from kwic.service.worker_totals import total_metrics, total_status


class WorkerTests(SynchronousTestCase):
    """Which of the workers a process is."""

    def test_written_and_read(self) -> None:
        """What the supervisor writes is what the worker reads."""
        worker = Worker(number=2, count=4, folder=Path("/run/kwic:1"))
        self.assertEqual(Worker.parse(str(worker)), worker)
        self.assertEqual(worker.node("cloud1"), "cloud1#2")
        self.assertFalse(worker.is_first)
        self.assertEqual(worker.socket_of(3), "/run/kwic:1/3.link")

    def test_not_for_people(self) -> None:
        """Anything else is refused in a line."""
        for text in ("", "1", "0/2:/x", "3/2:/x", "1/2:", "one/two:/x", "1/2"):
            with self.assertRaisesRegex(SetupError, "--workers"):
                Worker.parse(text)

    def test_sockets(self) -> None:
        """Each inherited socket is found once, by its address and port."""
        written, descriptors = listed([("127.0.0.1", 443), ("::", 443)])
        worker = Worker.parse("1/2:/x", written)
        found = [worker.take("::", 443), worker.take("127.0.0.1", 443)]
        self.assertEqual([descriptors[one] for one in found], [1, 0])
        self.assertIs(worker.take("::", 443), None)


class Reactor(Clock):
    """Starts processes that are none, and joins channels by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.spawned: list[Any] = []
        self.adopted: list[Any] = []

    def spawnProcess(self, protocol: Any, executable: str, args: Any, env: Any, childFDs: Any) -> Any:
        process = Process(protocol, args, childFDs)
        self.spawned.append(process)
        return process

    def adoptStreamConnection(self, number: int, family: int, factory: Any) -> None:
        channel = factory.buildProtocol(None)
        channel.transport = self.adopted_end = End()
        self.adopted.append(channel)


class End:
    """A transport that writes down."""

    disconnecting = False

    def __init__(self) -> None:
        self.written: list[dict] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        self.written.append(json.loads(data))

    def loseConnection(self) -> None:
        self.closed = True


class Process:
    """A process that is none."""

    def __init__(self, protocol: Any, args: Any, descriptors: Any) -> None:
        self.protocol, self.args, self.descriptors = protocol, args, descriptors
        self.pid: int | None = 100
        self.signals: list[str] = []

    def closeStdin(self) -> None:
        pass

    def signalProcess(self, name: str) -> None:
        self.signals.append(name)

    def end(self, status: int | None = None, number: int | None = None) -> None:
        self.pid = None
        reason = ProcessTerminated(status, number) if status or number else ProcessDone(0)
        self.protocol.processEnded(Failure(reason))


class ProcessTests(SynchronousTestCase):
    """One worker over all its starts."""

    def setUp(self) -> None:
        self.reactor = Reactor()
        self.told: list[str] = []
        backoff = Backoff(lambda: 1.0, initial_s=1.0, maximum_s=4.0)
        self.worker = WorkerProcess(self, self.reactor, 2, ["python", "worker"], {}, backoff, {4: 17})
        self.lines: list[tuple[LogLevel, str]] = []
        self.worker.log = self
        self.worker.start()

    # -- a WorkerUser and a log

    def worker_ready(self, process: WorkerProcess) -> None:
        self.told.append("ready")

    def worker_ended(self, process: WorkerProcess) -> None:
        self.told.append("ended")

    def emit(self, level: LogLevel, form: str, **fields: Any) -> None:
        self.lines.append((level, form.format(**fields)))

    def error(self, text: str, **fields: Any) -> None:
        self.emit(LogLevel.error, text, **fields)

    @property
    def process(self) -> Process:
        return self.reactor.spawned[-1]

    def hear(self, **message: Any) -> None:
        self.reactor.adopted[-1].dataReceived(json.dumps(message).encode() + b"\n")

    def test_inherits(self) -> None:
        """It is given the channel and the listening sockets."""
        self.assertEqual(self.process.args, ["python", "worker"])
        self.assertEqual({3, 4}, {number for number in self.process.descriptors if number > 2})
        self.assertEqual(self.process.descriptors[4], 17)

    def test_dies(self) -> None:
        """One that has died is started again, each time later; one that has lived for long, at once."""
        self.hear(ready=True)
        for wait_s in (1.0, 2.0, 4.0):
            count = len(self.reactor.spawned)
            self.process.end(number=9)
            self.reactor.advance(wait_s - 0.1)
            self.assertEqual(len(self.reactor.spawned), count)
            self.reactor.advance(0.2)
            self.assertEqual(len(self.reactor.spawned), count + 1)
        self.hear(ready=True)
        for _ in range(20):
            self.reactor.advance(BEAT_S)
            self.hear(alive=True)
        self.process.end(status=1)
        self.reactor.advance(1.1)
        self.assertEqual((len(self.reactor.spawned), self.worker.restarts), (5, 4))
        self.assertIn("killed by signal 9", self.lines[0][1])
        self.assertIn("status 1", self.lines[-1][1])

    def test_silent(self) -> None:
        """One that gives no sign of life is killed; one that was heard in time is not."""
        self.hear(ready=True)
        for _ in range(3 * MISSED_MAXIMUM):
            self.reactor.advance(BEAT_S)
            self.hear(alive=True)
        self.assertEqual(self.process.signals, [])
        for _ in range(MISSED_MAXIMUM + 1):
            self.reactor.advance(BEAT_S)
        self.assertEqual(self.process.signals, ["KILL"])

    def test_stops(self) -> None:
        """It is let to end in its own time, and not started again."""
        self.hear(ready=True)
        gone = self.worker.stop()
        self.assertEqual(self.process.signals, ["TERM"])
        self.assertNoResult(gone)
        self.process.end()
        self.successResultOf(gone)
        self.successResultOf(self.worker.stop())
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.assertTrue(self.reactor.adopted_end.closed)

    def test_stops_while_it_waits(self) -> None:
        """One that is dead already is not started again."""
        self.hear(ready=True)
        self.process.end(number=11)
        self.successResultOf(self.worker.stop())
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_asked(self) -> None:
        """It answers what it is asked; when it does not in time, or dies, there is no answer."""
        self.assertIs(self.successResultOf(self.worker.ask("status")), None)
        self.hear(ready=True)
        answers = [self.worker.ask("status") for _ in range(3)]
        said = self.reactor.adopted_end.written
        self.assertEqual([one["ask"] for one in said], ["status"] * 3)
        self.hear(id=said[1]["id"], answer={"clients": 3})
        self.assertEqual(self.successResultOf(answers[1]), {"clients": 3})
        self.reactor.advance(ANSWER_S)
        self.assertIs(self.successResultOf(answers[0]), None)
        self.hear(id=said[0]["id"], answer="late")
        last = self.worker.ask("metrics")
        self.reactor.adopted[-1].connectionLost()
        self.assertIs(self.successResultOf(last), None)

    def test_log(self) -> None:
        """Its lines are ours, with their level; what stands below a line keeps its level; nothing is kept for ever."""
        self.worker.outReceived(b"INFO  hello\nWARN  ca")
        self.worker.errReceived(b"reful\nERROR Traceback\n  below\n")
        self.worker.outReceived(b"x" * (LINE_MAXIMUM_BYTES + 1))
        self.worker.outReceived(b"rest")
        self.process.end()
        texts = [text for _, text in self.lines if "ended" not in text]
        self.assertEqual(texts[:4], [f"worker 2: {t}" for t in ("hello", "careful", "Traceback", "below")])
        self.assertEqual(
            [level for level, _ in self.lines[:4]],
            [LogLevel.info, LogLevel.warn, LogLevel.error, LogLevel.error],
        )
        self.assertEqual(texts[5], "worker 2: rest")


class EnvironmentTests(SynchronousTestCase):
    """What a worker is started with."""

    def test_packages(self) -> None:
        """It finds our packages, wherever we found them."""
        made = environment({"A": "b"}, ["", "/opt/kwic"])
        self.assertEqual(made["PYTHONPATH"].split(os.pathsep), [str(Path.cwd()), "/opt/kwic"])
        self.assertEqual(made["A"], "b")


class TotalsTests(SynchronousTestCase):
    """What the workers say, added up."""

    def status(self, number: int, **more: Any) -> dict[str, Any]:
        return {
            "version": "6",
            "node": f"cloud1#{number}",
            "instance": f"i{number}",
            "draining": False,
            "uptime_s": float(number),
            "clients": number,
            "services": [
                {"name": "A", "type": "proxy", "waiting": 1, "served": number, "failed": 0, "paths": number},
                {"name": "E", "type": "echo"},
            ],
            "tunnels": [{"peer": f"agent{number}"}],
            "socks": [],
            "names": {"a": [f"agent{number}"]},
            "members": [{"instance": "i1"}, {"instance": "i2"}, {"instance": "other"}],
            **more,
        }

    def test_status(self) -> None:
        """Clients and counts are summed, tunnels and names put together, and the workers are no members to themselves."""
        total = total_status("cloud1", [self.status(1), self.status(2), None])
        self.assertEqual((total["node"], total["instance"], total["clients"]), ("cloud1", "i1, i2", 3))
        self.assertEqual(total["services"][0], {**self.status(2)["services"][0], "waiting": 2, "served": 3})
        self.assertEqual(total["services"][1], {"name": "E", "type": "echo"})
        self.assertEqual([tunnel["peer"] for tunnel in total["tunnels"]], ["agent1", "agent2"])
        self.assertEqual(total["names"], {"a": ["agent1", "agent2"]})
        self.assertEqual(total["members"], [{"instance": "other"}])
        self.assertEqual([worker["answers"] for worker in total["workers"]], [True, True, False])
        self.assertEqual(total["workers"][1]["tunnels"], 1)

    def test_nobody_answers(self) -> None:
        """Even then there is a status."""
        total = total_status("cloud1", [None, None])
        self.assertEqual((total["clients"], total["tunnels"], total["services"]), (0, [], []))
        json.dumps(total)

    def test_metrics(self) -> None:
        """Samples are summed, each under its help; members are those that are not workers."""
        texts = [
            _family("kwic_clients", "gauge", "Clients.", [("", count)])
            + _family("kwic_members", "gauge", "Members.", [("", 3)])
            + _family("kwic_draining", "gauge", "Draining.", [("", count == 2)])
            + _family("kwic_served_total", "counter", "Served.", [('{service="a b"}', 10.5 * count)])
            for count in (1, 2)
        ]
        lines = total_metrics(texts, siblings=1).splitlines()
        self.assertEqual(
            [line for line in lines if not line.startswith("#")],
            ["kwic_clients 3", "kwic_members 2", "kwic_draining 1", 'kwic_served_total{service="a b"} 31.5'],
        )
        self.assertEqual(lines.index("# HELP kwic_clients Clients."), 0)
        self.assertEqual(len(lines), len(texts[0].splitlines()))
        self.assertEqual(total_metrics([], 0), "")


class Known(Alone):
    """A membership that is told its members."""

    def __init__(self, *members: Member) -> None:
        super().__init__()
        self.there = members
        self.told: list[OwnState] = []

    def members(self) -> Any:
        return self.there

    def path(self, member: Member, name: str) -> Any:
        return (self, name) if member in self.there else None

    def publish(self, state: OwnState) -> None:
        super().publish(state)
        self.told.append(state)


class JointTests(SynchronousTestCase):
    """The other workers, and the members of the cluster."""

    def setUp(self) -> None:
        worker, far = Member(instance="w2", node="a#2"), Member(instance="b1", node="b#1")
        self.near, self.cluster = Known(worker), Known(worker, far)
        self.joint = Joint(self.near, self.cluster)
        self.worker, self.far = worker, far

    def test_members(self) -> None:
        """Each is there once, and what is both is reached over the link between workers."""
        self.assertEqual(self.joint.members(), (self.worker, self.far))
        self.assertEqual(self.joint.count, 3)
        self.assertEqual(self.joint.path(self.worker, "n"), (self.near, "n"))
        self.assertEqual(self.joint.path(self.far, "n"), (self.cluster, "n"))

    def test_told(self) -> None:
        """Both are told, and leaving is told too."""
        self.joint.publish(OwnState(load=1))
        self.joint.leave()
        for part in (self.near, self.cluster):
            self.assertEqual([state.leaving for state in part.told], [False, True])

    def test_watched(self) -> None:
        """News of either is news."""
        news: list[int] = []
        self.joint.watch(lambda: news.append(1))
        self.near.changed()
        self.cluster.there = ()
        self.cluster.changed()
        self.assertEqual(len(news), 2)


class ChannelTests(SynchronousTestCase):
    """The socket between a worker and its supervisor."""

    def test_any_pieces(self) -> None:
        """Messages come whole, however they are cut."""
        heard: list[dict] = []
        lost: list[bool] = []
        channel = Channel(heard.append, lambda: lost.append(True))
        text = b'{"a": 1}\n{"b": [2]}\n'
        channel.transport = End()
        for at in range(len(text)):
            channel.dataReceived(text[at : at + 1])
        channel.dataReceived(text)
        self.assertEqual(heard, [{"a": 1}, {"b": [2]}] * 2)
        channel.connectionLost()
        self.assertEqual(lost, [True])
