"""Tests of an etcd that asks its clients for a name and a password."""

from __future__ import annotations

from pathlib import Path

from kwic.errors import SetupError
from test.service.etcd_case import SERVER, EtcdCase


class AccountTests(EtcdCase):
    """An etcd that asks who we are."""

    def setUp(self) -> None:
        super().setUp()
        self.serve(SERVER)
        self.store.account = ("gw", "sécret")
        self.file = Path(self.mktemp())
        self.file.write_text("sécret\nmore\n", encoding="utf-8")
        self.config = {"etcd_user": "gw", "etcd_password_file": self.file}

    def test_password(self) -> None:
        """With the right password members meet."""
        self.start(1, 2, config=self.config)
        self.wait(1, 2)
        self.assertEqual(self.store.calls.count("/v3/auth/authenticate"), 2)

    def test_token_is_forgotten(self) -> None:
        """When a token does not count any more, another is got without a word."""
        self.start(1, 2, accepts=(), config=self.config)
        self.wait(1, 2)
        self.network.run(3)
        version = self.members["cloud1"].version
        self.store.tokens.clear()
        self.network.run(10)
        self.assertEqual(self.members["cloud1"].version, version)
        self.assertEqual(self.store.calls.count("/v3/auth/authenticate"), 4)
        self.assertEqual(self.lines("etcd cannot be used"), [])
        self.assertEqual(len(self.lines("keeps the register")), 2)

    def test_wrong_password(self) -> None:
        """A wrong password is told of once; when it is put right in the file, members meet."""
        self.file.write_text("wrong\n")
        self.start(1, 2, config=self.config)
        self.network.run(60)
        told = self.lines(
            "etcd cannot be used: 10.0.0.200:2379: authentication failed, invalid user ID or password"
        )
        self.assertEqual(len(told), 2)
        self.file.write_text("sécret", encoding="utf-8")
        self.wait(1, 2)

    def test_password_file_goes(self) -> None:
        """A password file that is gone later is told of, and read when it is back."""
        self.start(1, config=self.config)
        self.network.run(3)
        self.file.unlink()
        self.store.tokens.clear()
        self.network.run(10)
        self.assertEqual(len(self.lines("there is no such file")), 1)
        self.file.write_text("sécret", encoding="utf-8")
        self.network.run(5)
        self.assertEqual(len(self.lines("keeps the register")), 2)

    def test_no_account(self) -> None:
        """Without a user, etcd's refusal is told of once, and again when it is another kind of trouble."""
        self.start(1)
        self.network.run(30)
        self.assertEqual(len(self.lines("etcd cannot be used: 10.0.0.200:2379: user name is empty")), 1)
        self.network.crash("etcd0")
        self.network.run(30)
        self.assertEqual(len(self.lines("etcd cannot be used")), 2)

    def test_nothing_is_asked(self) -> None:
        """A user for an etcd that knows none is told of."""
        self.store.account = None
        self.start(1, config=self.config)
        self.network.run(5)
        self.assertEqual(len(self.lines("authentication is not enabled")), 1)

    def test_denied(self) -> None:
        """A user that may do nothing here is told of."""
        self.store.denies = True
        self.start(1, config=self.config)
        self.network.run(30)
        self.assertEqual(len(self.lines("etcd cannot be used: 10.0.0.200:2379: permission denied")), 1)

    def test_check(self) -> None:
        """A password file that is missing, and TLS that nothing can be verified with, are found before the start."""
        self.make(1, config=self.config).check()
        self.file.write_bytes(b"\xff\xfe\n")
        self.assertRaises(SetupError, self.make(1, config=self.config).check)
        self.file.unlink()
        self.assertRaises(SetupError, self.make(1, config=self.config).check)
        with self.assertRaises(SetupError) as caught:
            self.make(1, "etcd+ssl://10.0.0.201:2379").check()
        self.assertIn("etcd+ssl://10.0.0.201:2379 needs TLS", str(caught.exception))
