"""The faults: how each is done, and what it must not do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from test.lab.case import Case
from test.lab.verdict import Row

if TYPE_CHECKING:
    from test.lab.laboratory import Laboratory

QUIET = Row(title="no fault", stall_s=0.5, whole_s=None)
KILL = Row(title="kill -9", stall_s=0.5)
SILENCE = Row(title="SIGSTOP or black-hole", stall_s=2.0)
ORDERLY = Row(title="orderly stop / rolling restart", stall_s=0.2)
BALANCED = Row(title="restart behind a TCP load balancer", stall_s=5.0, whole_s=5.0, grace_s=5.0)
BAD_LINE = Row(title="20 % loss, 200 ms delay on one tunnel", stall_s=3.0)
NAMES = Row(title="name servers late or silent", stall_s=0.5)
STORE = Row(title="etcd killed", stall_s=0.5)

TITLES = {
    "none": "none, to compare",
    "kill": "`kill -9`, restarted after 7 s",
    "restart": "`kill -9`, restarted at once",
    "kill-two": "`kill -9` of one on each side at once",
    "freeze": "SIGSTOP for 7 s",
    "black-hole": "every packet from and to it dropped for 7 s",
    "mute": "every packet from it dropped",
    "deaf": "every packet to it dropped",
    "link": "its link down",
    "stop": "orderly stop (SIGTERM) and restart",
    "rolling": "orderly restart of all, one by one",
    "bad-line": "20 % loss and 200 ms delay on one tunnel",
    "names-late": "the name server answers after 3 s",
    "names-silent": "the name server is silent",
    "balancer": "the load balancer killed and restarted",
    "etcd": "etcd killed and restarted",
    "etcd-and": "an instance killed while etcd is gone",
}

LOSS = 0.2
DELAY_S = 0.1  # on each way: a round trip takes 200 ms longer
LATE_S = 3.0  # a name server that answers late


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One fault that can be asked for.

    :param name: of its kind, as given to ``--fault``.
    :param victims: the instances, in its full name after the colon.
    :param row: its targets.
    :param act: does it and heals it.
    :param short: whether it belongs to the short form.
    """

    name: str
    victims: tuple[str, ...]
    row: Row
    act: Callable[[Laboratory, Case, tuple[str, ...]], None]
    short: bool = False

    @property
    def full_name(self) -> str:
        """``kill:cloud1``."""
        return ":".join([self.name, "+".join(self.victims)]) if self.victims else self.name


def no_fault(lab: Laboratory, case: Case, victims: tuple[str, ...]) -> None:
    """Nothing at all, to compare with."""
    case.hold()


def kill(lab: Laboratory, case: Case, victims: tuple[str, ...]) -> None:
    """``kill -9``, then a new start; two victims die at once."""
    with case.breaking(victims, f"kill -9 {' and '.join(victims)}"):
        for name in victims:
            lab.instance(name).kill()
    case.hold()
    restart(lab, case, victims)


def restart(lab: Laboratory, case: Case, victims: tuple[str, ...]) -> None:
    """Start again what is gone, and wait until everything is whole."""
    with case.healing(f"start {' and '.join(victims)}"):
        for name in victims:
            lab.instance(name).start()
        for name in victims:
            lab.instance(name).wait_accepting()
    case.whole()


def bounce(lab: Laboratory, case: Case, victims: tuple[str, ...]) -> None:
    """Kill and start at once, as a supervisor does."""
    with case.breaking(victims, f"kill -9 {' and '.join(victims)}, to be started at once"):
        for name in victims:
            lab.instance(name).kill()
    restart(lab, case, victims)


def freeze(lab: Laboratory, case: Case, victims: tuple[str, ...]) -> None:
    """SIGSTOP, SIGCONT."""
    with case.breaking(victims, f"SIGSTOP {' and '.join(victims)}"):
        for name in victims:
            lab.instance(name).freeze()
    case.hold()
    with case.healing("SIGCONT"):
        for name in victims:
            lab.instance(name).thaw()
    case.whole()


def black_hole(lab: Laboratory, case: Case, victims: tuple[str, ...]) -> None:
    """Every packet from and to it is lost."""
    cut(lab, case, victims, outgoing=True, incoming=True)


def mute(lab: Laboratory, case: Case, victims: tuple[str, ...]) -> None:
    """Every packet from it is lost."""
    cut(lab, case, victims, outgoing=True, incoming=False)


def deaf(lab: Laboratory, case: Case, victims: tuple[str, ...]) -> None:
    """Every packet to it is lost."""
    cut(lab, case, victims, outgoing=False, incoming=True)


def cut(lab: Laboratory, case: Case, victims: tuple[str, ...], *, outgoing: bool, incoming: bool) -> None:
    """Lose packets on one way or both."""
    ways = " and ".join(["from"] * outgoing + ["to"] * incoming)
    with case.breaking(victims, f"drop all packets {ways} {' and '.join(victims)}"):
        for name in victims:
            if outgoing:
                lab.switch.drop(lab.machine(name), None)
            if incoming:
                lab.switch.drop(None, lab.machine(name))
    case.hold()
    mend(lab, case, "packets pass again")
    case.whole()


def mend(lab: Laboratory, case: Case, text: str) -> None:
    """Heal what was done to packets."""
    with case.healing(text):
        packets = lab.switch.mend()
    if packets == 0:
        case.flaws.append("the fault did not take hold: no packet met it")


def unplug(lab: Laboratory, case: Case, victims: tuple[str, ...]) -> None:
    """The cable is pulled: link down."""
    with case.breaking(victims, f"link of {' and '.join(victims)} down"):
        for name in victims:
            lab.switch.cable(lab.machine(name), plugged=False)
    case.hold()
    with case.healing("link up"):
        for name in victims:
            lab.switch.cable(lab.machine(name), plugged=True)
    case.whole()


def stop(lab: Laboratory, case: Case, victims: tuple[str, ...]) -> None:
    """SIGTERM, the end in peace, a new start: what an upgrade does."""
    for name in victims:
        stop_one(lab, case, name)


def stop_one(lab: Laboratory, case: Case, name: str) -> None:
    """Stop and start one instance."""
    instance = lab.instance(name)
    with case.breaking([name], f"SIGTERM {name}", orderly=True):
        instance.tell_to_stop()
    status = instance.wait_ended()
    case.mark(f"{name} ended with status {status}")
    if status != 0:
        case.flaws.append(f"{name} ended with status {status} after SIGTERM, not 0")
    restart(lab, case, (name,))


def bad_line(lab: Laboratory, case: Case, victims: tuple[str, ...]) -> None:
    """Between two instances 20 % of the packets are lost on each way, and a round trip takes 200 ms longer."""
    one, other = (lab.machine(name) for name in victims)
    with case.breaking(
        victims,
        f"20 % loss, 200 ms delay between {' and '.join(victims)}",
        deaf=False,
        line=True,
        orderly=True,
    ):
        for source, target in ((one, other), (other, one)):
            lab.switch.drop(source, target, LOSS)
            lab.switch.delay(source, target, DELAY_S)
    case.hold()
    mend(lab, case, "a good line again")
    case.whole()


def names_late(lab: Laboratory, case: Case, victims: tuple[str, ...]) -> None:
    """Every answer of the name server takes seconds."""
    names(lab, case, str(LATE_S), f"the name server answers after {LATE_S:g} s")


def names_silent(lab: Laboratory, case: Case, victims: tuple[str, ...]) -> None:
    """The name server never answers."""
    names(lab, case, "never", "the name server is silent")


def names(lab: Laboratory, case: Case, mode: str, text: str) -> None:
    """Let everyone ask the name server instead of the hosts file, then break it."""
    lab.ask_names(from_server=True)
    case.mark("names come from the name server")
    case.hold(3)
    victims = lab.everyone
    with case.breaking(victims, text, deaf=False, orderly=True):
        lab.name_server_mode(mode)
    case.hold()
    with case.healing("the name server answers"):
        lab.name_server_mode("0")
    case.whole()
    lab.ask_names(from_server=False)


def balancer_restart(lab: Laboratory, case: Case, victims: tuple[str, ...]) -> None:
    """The load balancer dies and is back a second later: every tunnel goes with it."""
    with case.breaking(lab.everyone, "kill the load balancer", deaf=False):
        lab.program("balancer").kill()
    case.hold(1)
    with case.healing("start the load balancer"):
        lab.program("balancer").start()
    case.whole()


def etcd_kill(lab: Laboratory, case: Case, victims: tuple[str, ...]) -> None:
    """Etcd dies and comes back."""
    with case.breaking((), "kill etcd", deaf=False, orderly=True):
        lab.program("etcd").kill()
    case.hold()
    with case.healing("start etcd"):
        lab.program("etcd").start()
    case.whole()


def etcd_kill_and_instance(lab: Laboratory, case: Case, victims: tuple[str, ...]) -> None:
    """An instance dies while etcd is gone: the last known state must do."""
    case.mark("kill etcd")
    lab.program("etcd").kill()
    case.hold(1)
    with case.breaking(victims, f"kill -9 {' and '.join(victims)}"):
        for name in victims:
            lab.instance(name).kill()
    case.hold()
    case.mark("start etcd")
    lab.program("etcd").start()
    restart(lab, case, victims)


def all_faults(scenario: str) -> Iterator[Fault]:
    """Everything that can be done in a scenario, in the order in which it is done.

    :param scenario: ``ha``, ``ha-lb`` or ``etcd``.
    """
    yield Fault(name="none", victims=(), row=QUIET, act=no_fault)
    if scenario == "ha":
        yield from faults_of_instances()
    elif scenario == "ha-lb":
        for victim in ("cloud1", "cloud2"):
            yield Fault(name="kill", victims=(victim,), row=BALANCED, act=kill, short=victim == "cloud1")
            yield Fault(name="stop", victims=(victim,), row=BALANCED, act=stop)
            yield Fault(name="freeze", victims=(victim,), row=BALANCED, act=freeze)
        yield Fault(name="kill", victims=("onprem1",), row=KILL, act=kill)
        yield Fault(name="freeze", victims=("onprem1",), row=SILENCE, act=freeze)
        yield Fault(name="balancer", victims=(), row=BALANCED, act=balancer_restart)
    elif scenario == "etcd":
        yield Fault(name="kill", victims=("cloud1",), row=KILL, act=kill)
        yield Fault(name="etcd", victims=(), row=STORE, act=etcd_kill)
        yield Fault(name="etcd-and", victims=("cloud1",), row=STORE, act=etcd_kill_and_instance)
        yield Fault(name="stop", victims=("cloud2",), row=ORDERLY, act=stop)


def faults_of_instances() -> Iterator[Fault]:
    """The faults of the plain scenario."""
    instances = ("cloud1", "cloud2", "onprem1", "onprem2")
    for name, row, act, short in (
        ("kill", KILL, kill, True),
        ("freeze", SILENCE, freeze, True),
        ("black-hole", SILENCE, black_hole, True),
        ("mute", SILENCE, mute, False),
        ("deaf", SILENCE, deaf, False),
        ("link", SILENCE, unplug, False),
        ("stop", ORDERLY, stop, True),
        ("restart", KILL, bounce, False),
    ):
        for victim in instances:
            yield Fault(
                name=name,
                victims=(victim,),
                row=row,
                act=act,
                short=short and victim in ("cloud1", "onprem2"),
            )
    yield Fault(name="kill-two", victims=("cloud1", "onprem1"), row=KILL, act=kill, short=True)
    yield Fault(name="kill-two", victims=("cloud2", "onprem1"), row=KILL, act=kill)
    yield Fault(name="bad-line", victims=("cloud1", "onprem1"), row=BAD_LINE, act=bad_line, short=True)
    yield Fault(name="bad-line", victims=("onprem2", "cloud2"), row=BAD_LINE, act=bad_line)
    yield Fault(name="names-late", victims=(), row=NAMES, act=names_late)
    yield Fault(name="names-silent", victims=(), row=NAMES, act=names_silent, short=True)
    yield Fault(name="rolling", victims=instances, row=ORDERLY, act=stop, short=True)


def chosen(scenario: str, names: list[str], *, short: bool) -> list[Fault]:
    """The faults that were asked for.

    :param scenario: where.
    :param names: kinds (``kill``) or full names (``kill:cloud1``); empty for all.
    :param short: only those of the short form.
    """
    return [
        fault
        for fault in all_faults(scenario)
        if (fault.short or not short) and (not names or {fault.name, fault.full_name} & set(names))
    ]
