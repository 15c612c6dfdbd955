"""The model: values that nobody changes."""

from __future__ import annotations

from dataclasses import fields, is_dataclass

from twisted.trial.unittest import SynchronousTestCase

from kwic.config import ends, listen, model, pair, problem
from test.config.text import KEYSTORE, complaints, echo, proxy, read, read_one


class ModelTests(SynchronousTestCase):
    """What the floors above get."""

    def test_everything_is_frozen_and_named(self) -> None:
        """No value of the model can be changed, and none is given by position."""
        found = {
            value
            for module in (model, problem, ends, listen, pair)
            for value in vars(module).values()
            if isinstance(value, type) and is_dataclass(value)
        }
        self.assertGreaterEqual(len(found), 15)
        for each in found:
            parameters = each.__dataclass_params__  # type: ignore[attr-defined]
            self.assertTrue(parameters.frozen, each)
            self.assertTrue(all(field.kw_only for field in fields(each)), each)

    def test_equal_files_are_equal(self) -> None:
        """The same text gives the same services, wherever in the file they stand; they can be keys."""
        first, second = read_one(KEYSTORE, proxy("wss://h/x")), read_one(proxy("wss://h/x"), KEYSTORE)
        self.assertNotEqual(first.place, second.place)
        self.assertEqual(first.accepts, second.accepts)
        self.assertEqual(first.accept_options, second.accept_options)
        self.assertEqual(len({first, first, *read(echo()).services}), 2)


class ClusterPortTests(SynchronousTestCase):
    """The port of the cluster beside those of services."""

    def test_conflicts(self) -> None:
        """The cluster's port is taken when a service listens on the same address, or either on every address."""
        for service, member, taken in (
            ("tcp://@lo:5941", "tcp://@lo:5941", True),
            ("tcp://0.0.0.0:5941", "tcp://127.0.0.1:5941", True),
            ("tcp://127.0.0.1:5941", "tcp://0.0.0.0:5941", True),
            ("tcp://127.0.0.1:5941", "tcp://127.0.0.1:5941", True),
            ("tcp://127.0.0.1:5942", "tcp://127.0.0.1:5941", False),
            ("tcp://127.0.0.1:5941", "tcp://127.0.0.2:5941", False),
            ("tcp://@lo:5941", "tcp://127.0.0.2:5941", False),
            ("tcp://127.0.0.2:5941", "tcp://@lo:5941", False),
        ):
            cluster = f"<cluster kwic:insecure='true'><name>c</name><accept>{member}</accept></cluster>"
            said = complaints(echo(service), cluster)
            self.assertEqual(any("listens at" in line for line in said), taken, f"{service} {member} {said}")
