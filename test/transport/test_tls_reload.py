"""New stores while connections are open, and sessions that are resumed."""

from __future__ import annotations

import errno
import gc
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding
from twisted.internet.testing import StringTransport

from kwic.config.model import Security, Store, StoreKind, TlsOptions
from kwic.config.problem import ConfigError
from kwic.transport import tls_sessions
from kwic.transport.entries import Contents, StoreFormat
from kwic.transport.stores import encode_store
from kwic.transport.tls import Credentials
from test.transport.tls_ends import (
    NO_TLS_OPTIONS,
    NOW_S,
    PLACE,
    REQUIRED,
    Joined,
    TlsTestCase,
    lone_end,
)


class ReloadTests(TlsTestCase):
    """New stores while connections are open."""

    def setUp(self) -> None:
        super().setUp()
        self.cloud = self.scene.cloud(self.scene.server("example.com", name="old"))
        self.onprem = self.scene.onprem(self.scene.client())
        self.options = self.cloud.server_options(["example.com"], REQUIRED)

    def connect(self) -> Joined:
        return Joined(self.options, self.onprem.client_options("example.com", NO_TLS_OPTIONS))

    def test_new_certificate(self) -> None:
        """New handshakes get the new certificate; open connections go on."""
        before = self.connect()
        self.assertTrue(before.talk())
        self.scene.store("keystore-cloud", self.scene.server("example.com", name="new"))
        self.assertTrue(self.cloud.changed())
        self.cloud.reload()
        self.assertFalse(self.cloud.changed())
        after = self.connect()
        self.assertTrue(after.talk())
        self.assertEqual(after.client.identity.common_name, "new")
        self.assertTrue(before.client.lost is None and before.server.lost is None)
        before.client.transport.write(b" again")
        before.flush()
        self.assertEqual(before.server.received, b"ping again")

    def test_half_way_through_a_handshake(self) -> None:
        """A handshake that began before a reload ends with what it began with."""
        server, server_tls = lone_end(self.options, is_client=False)
        client, client_tls = lone_end(
            self.onprem.client_options("example.com", NO_TLS_OPTIONS), is_client=True
        )
        up, down = StringTransport(), StringTransport()
        server_tls.makeConnection(down)
        client_tls.makeConnection(up)
        for credentials in (self.cloud, self.onprem):
            credentials.reload()
        gc.collect()
        for _ in range(3):
            for transport, other in ((up, server_tls), (down, client_tls)):
                data = transport.value()
                transport.clear()
                if data:
                    other.dataReceived(data)
        self.assertTrue(server.open and client.open)

    def test_new_trust(self) -> None:
        """A new truststore counts for new clients, a ticket of the time before does not get around it."""
        self.assertTrue(self.connect().talk())
        self.scene.store("truststore-cloud", trusted=[self.scene.server_ca.certificate])
        self.cloud.reload()
        after = self.connect()
        after.talk()
        self.assertIn("not in our truststore", after.server.why)

    def test_new_revocation_list(self) -> None:
        """A revocation list that is put there is noticed and honoured."""
        self.assertTrue(self.connect().talk())
        tenant = self.onprem._material.entries[0].certificate
        crl = self.scene.client_ca.revoke([tenant], now_s=NOW_S, days=9)
        (self.scene.directory / "clients.crl").write_bytes(crl.public_bytes(Encoding.PEM))
        self.assertTrue(self.cloud.changed())
        self.cloud.reload()
        after = self.connect()
        after.talk()
        self.assertIn("was revoked", after.server.why)

    def test_failure_changes_nothing(self) -> None:
        """Stores that do not do are refused as a whole; the old ones stay in use, and are not tried again until they change."""
        for broken in (b"garbage", b""):
            self.cloud._security.keystore.file.write_bytes(broken)
            self.assertTrue(self.cloud.changed())
            self.refused(self.cloud.reload)
            self.assertFalse(self.cloud.changed())
            self.assertTrue(self.connect().talk())
        self.scene.store("keystore-cloud", self.scene.server("example.net"))
        self.assertIn("no certificate for example.com", self.refused(self.cloud.reload))
        self.assertTrue(self.connect().talk())

    def test_directory(self) -> None:
        """A directory of PEM files has changed when a file in it has, or came, or went, or when it is no more."""
        directory = self.scene.directory / "pem"
        directory.mkdir()
        entry = self.scene.server("example.com")
        data = encode_store(Contents(entries=(entry,)), StoreFormat.PEM, b"", now_s=NOW_S)
        (directory / "server.pem").write_bytes(data)
        store = Store(kind=StoreKind.PEM, file=directory, place=PLACE)
        credentials = Credentials.from_security(Security(keystore=store))
        self.assertFalse(credentials.changed())
        (directory / "more.pem").write_bytes(data)
        self.assertTrue(credentials.changed())
        credentials.reload()
        self.assertFalse(credentials.changed())
        (directory / "more.pem").unlink()
        self.assertTrue(credentials.changed())
        (directory / "server.pem").unlink()
        directory.rmdir()
        self.assertIn("there is no such file", self.refused(credentials.reload))
        self.assertFalse(credentials.changed())

    def test_listener_gone(self) -> None:
        """A listener that is no more does not stand in the way of a reload."""
        self.cloud.server_options(["example.com"], NO_TLS_OPTIONS)
        del self.options
        gc.collect()
        self.scene.store("keystore-cloud", self.scene.server("example.net"))
        self.cloud.reload()


class ResumptionTests(TlsTestCase):
    """Who comes back is spared half of the handshake."""

    def setUp(self) -> None:
        super().setUp()
        self.cloud = self.scene.cloud(self.scene.server("example.com", "example.org"))
        self.onprem = self.scene.onprem(self.scene.client())
        self.options = self.cloud.server_options(["example.com"], REQUIRED)

    def connect(self, host: str = "example.com", tls: TlsOptions = NO_TLS_OPTIONS) -> Joined:
        joined = Joined(self.options, self.onprem.client_options(host, tls))
        self.assertTrue(joined.talk(), joined.server.why)
        return joined

    def test_reconnect(self) -> None:
        """A client that reconnects resumes, after a goodbye as after a break, and is still known to the server."""
        first = self.connect()
        self.assertFalse(first.resumed)
        first.cut()
        second = self.connect()
        self.assertTrue(second.resumed)
        self.assertEqual(second.server.identity.common_name, "tenant101")
        second.client.transport.loseConnection()
        second.flush()
        third = self.connect()
        self.assertTrue(third.resumed)
        self.assertEqual(third.server.identity.common_name, "tenant101")

    def test_tls_1_2(self) -> None:
        """TLS 1.2 resumes too."""
        tls = TlsOptions(protocols=("TLSv1.2",))
        first = self.connect(tls=tls)
        first.client.transport.loseConnection()
        first.flush()
        second = self.connect(tls=tls)
        self.assertTrue(second.resumed)
        self.assertEqual(second.server.identity.common_name, "tenant101")

    def test_another_host(self) -> None:
        """A session of one host is not offered to another."""
        self.connect("example.com")
        self.assertFalse(self.connect("example.org").resumed)
        self.assertTrue(self.connect("example.org").resumed)

    def test_reload(self) -> None:
        """After a reload on either side the next handshake is a full one."""
        self.connect()
        self.cloud.reload()
        self.assertFalse(self.connect().resumed)
        self.assertTrue(self.connect().resumed)
        self.onprem.reload()
        self.assertFalse(self.connect().resumed)

    def test_many_hosts(self) -> None:
        """Sessions are remembered for a bounded number of hosts."""
        self.patch(tls_sessions, "_HOSTS_LIMIT", 1)
        self.connect("example.com")
        self.connect("example.org")
        self.assertFalse(self.connect("example.com").resumed)

    def test_unreachable_store(self) -> None:
        """Stores that this user may not reach, as after a change of user, are an ordinary mistake and not tried again and again."""

        def stat(path: Path, *, follow_symlinks: bool = True) -> None:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))

        def is_dir(path: Path) -> bool:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))

        def opened(path: Path, mode: str = "r") -> None:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))

        for name, refusing in (("stat", stat), ("is_dir", is_dir), ("open", opened)):
            self.patch(Path, name, refusing)
        self.assertTrue(self.cloud.changed())
        problems = self.assertRaises(ConfigError, self.cloud.reload).problems
        self.assertEqual(len(problems), 2)
        for problem in problems:
            self.assertIn("not readable for this user", problem.message)
        self.assertFalse(self.cloud.changed())
