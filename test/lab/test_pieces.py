"""The small pieces of the laboratory that run without root."""

from __future__ import annotations

import struct
from math import inf
from typing import Any, ClassVar
from xml.dom.minidom import parseString

from twisted.trial.unittest import SynchronousTestCase

from test.lab.__main__ import options_of
from test.lab.case import Case, Mark
from test.lab.delay import PACKET, attribute, message, packet_numbers
from test.lab.faults import KILL, all_faults, chosen
from test.lab.names import answer
from test.lab.pattern import PERIOD, Pattern
from test.lab.report import as_json, markdown
from test.lab.scenario import SCENARIOS
from test.lab.status import lacking
from test.lab.timeline import Timeline
from test.lab.verdict import Probe, Window, judge


def query(name: str, kind: int) -> bytes:
    """A DNS question."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack(">HHHHHH", 7, 0x100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">HH", kind, 1)


class NamesTests(SynchronousTestCase):
    """The name server's answers."""

    hosts: ClassVar = {"example.com": ["172.34.0.7", "172.34.0.5"]}

    def test_addresses(self) -> None:
        """Every address of a name is given, in any case of letters."""
        found = answer(query("Example.COM", 1), self.hosts)
        self.assertEqual(found[6:8], b"\0\2")
        self.assertTrue(found.endswith(bytes([172, 34, 0, 5])))

    def test_other_type(self) -> None:
        """A name without IPv6 addresses is there, with no answer."""
        found = answer(query("example.com", 28), self.hosts)
        self.assertEqual((found[3] & 15, found[6:8]), (0, b"\0\0"))

    def test_unknown(self) -> None:
        """An unknown name is a name error."""
        self.assertEqual(answer(query("nowhere.example", 1), self.hosts)[3] & 15, 3)

    def test_cut_short(self) -> None:
        """A question that is cut short is refused."""
        whole = query("example.com", 1)
        for length in range(12, len(whole)):
            self.assertRaises(ValueError, answer, whole[:length], self.hosts)


class DelayTests(SynchronousTestCase):
    """The netlink messages of the queue."""

    def test_packet_numbers(self) -> None:
        """The numbers of several packets in one read are found, after other attributes too."""
        numbered = [
            attribute(9, b"odd") + attribute(1, struct.pack(">LHB", number, 0x800, 2))
            for number in (1, 70000)
        ]
        data = b"".join(message(PACKET, 7, attributes) for attributes in numbered)
        self.assertEqual(list(packet_numbers(data)), [1, 70000])


class PatternTests(SynchronousTestCase):
    """Bytes that tell where they belong."""

    def test_position(self) -> None:
        """Pieces at their positions make the whole, and a shifted piece does not fit."""
        pattern = Pattern(3)
        self.assertEqual(pattern.at(PERIOD - 5, 10), pattern.at(PERIOD - 5, 5) + pattern.at(0, 5))
        self.assertNotEqual(pattern.at(0, 16), pattern.at(1, 16))


class FaultListTests(SynchronousTestCase):
    """Which faults there are."""

    def test_choice(self) -> None:
        """A kind chooses all its victims, a full name one."""
        self.assertEqual(len(chosen("ha", ["kill"], short=False)), 4)
        self.assertEqual(
            [fault.full_name for fault in chosen("ha", ["kill:cloud2"], short=False)], ["kill:cloud2"]
        )

    def test_names_are_unique(self) -> None:
        """Every fault of a scenario has a name of its own."""
        for scenario in SCENARIOS:
            names = [fault.full_name for fault in all_faults(scenario)]
            self.assertEqual(len(names), len(set(names)))

    def test_frozen_agent_with_several_tunnels(self) -> None:
        """Behind a load balancer an agent freezes that has several tunnels to each node: clients wait no longer than in the plain scenario."""
        (frozen,) = chosen("ha-lb", ["freeze:onprem1"], short=False)
        (plain,) = chosen("ha", ["freeze:onprem1"], short=False)
        self.assertEqual((frozen.row, frozen.row.stall_s), (plain.row, 2.0))

    def test_short_form_has_every_promise(self) -> None:
        """Every row of the promised table is tried by the short form, by each fault that the row names."""
        short = {fault.row.title for there in ("ha", "ha-lb") for fault in chosen(there, [], short=True)}
        promised = {
            fault.row.title for there in ("ha", "ha-lb") for fault in all_faults(there) if fault.row.stall_s
        }
        self.assertEqual(short, promised - {"no fault"})
        self.assertEqual(
            {there: {fault.name for fault in chosen(there, [], short=True)} for there in ("ha", "ha-lb")},
            {
                "ha": {
                    "kill",
                    "kill-two",
                    "freeze",
                    "black-hole",
                    "stop",
                    "rolling",
                    "bad-line",
                    "names-silent",
                },
                "ha-lb": {"kill"},
            },
        )
        self.assertEqual(options_of(["--short"]).scenario, ["ha", "ha-lb"])


class StatusTests(SynchronousTestCase):
    """What full redundancy lacks."""

    def setUp(self) -> None:
        """Two in the cloud and one agent, all joined."""
        self.statuses: dict[str, Any] = {
            "cloud1": {"instance": "1", "tunnels": [{"peer_instance": "a"}], "members": [{"instance": "2"}]},
            "cloud2": {"instance": "2", "tunnels": [{"peer_instance": "a"}], "members": [{"instance": "1"}]},
            "onprem1": {"instance": "a", "tunnels": [{"peer_instance": "1"}, {"peer_instance": "2"}]},
        }

    def found(self) -> list[str]:
        """What is lacking."""
        return lacking(self.statuses, ["cloud1", "cloud2"], ["onprem1"], cluster=True)

    def test_nothing(self) -> None:
        """Nothing is lacking when everyone is joined."""
        self.assertEqual(self.found(), [])

    def test_silent_instance(self) -> None:
        """An instance that says nothing, and every tunnel to it, is lacking."""
        self.statuses["onprem1"] = None
        self.assertEqual(len(self.found()), 5)

    def test_earlier_process(self) -> None:
        """A tunnel to an instance's earlier process is none."""
        self.statuses["cloud1"]["instance"] = "1b"
        self.assertEqual(self.found(), ["onprem1 has no tunnel to cloud1", "cloud2 does not know cloud1"])

    def test_suspect(self) -> None:
        """A suspected tunnel is none."""
        self.statuses["onprem1"]["tunnels"][0]["suspect"] = True
        self.assertEqual(self.found(), ["onprem1 has no tunnel to cloud1"])


class ReportTests(SynchronousTestCase):
    """Table and picture."""

    def setUp(self) -> None:
        """One fault with a success and a failure."""
        self.probes = [
            Probe(target="cloud2", start_s=1.0, stall_s=0.01, outcome="ok"),
            Probe(target="cloud2", start_s=2.0, stall_s=0.3, outcome="reset"),
        ]
        self.window = Window(
            victims=frozenset({"cloud1"}),
            deaf=True,
            orderly=False,
            begun_s=1.5,
            done_s=1.6,
            healing_s=2.9,
            returned_s=3,
            whole_s=inf,
        )

    def test_table(self) -> None:
        """A missed target stands in the table, in the list of misses and in the JSON."""
        verdict = judge("kill:cloud1", KILL, self.probes, [], [self.window])
        table = markdown("Title", [verdict], {"rate": 100})
        self.assertIn("| kill:cloud1 | 2 | 1 |", table)
        self.assertIn("| `kill -9`, restarted after 7 s | 1 | 2 | 1 | 0.30 s | 0.5 s | 0 | 0 | – |", table)
        self.assertIn("- kill:cloud1: 1 failed connects (1 reset)", table)
        self.assertIn('"failed": 1', as_json("Title", [verdict], {}))

    def test_picture(self) -> None:
        """The picture is XML, with a band for what was broken and a cross for what failed."""
        case = Case("kill:cloud1", KILL, None, list, print)  # type: ignore[arg-type]
        case.start_s, case.end_s = 0.0, 5.0
        case.windows.append(self.window)
        case.marks.append(Mark(at_s=1.5, text="kill <cloud1>"))
        picture = Timeline("Title", ["cloud1", "cloud2"], [case], self.probes).svg()
        parseString(picture)
        self.assertIn("#c62828", picture)
