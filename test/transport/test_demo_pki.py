"""The certificates of a trial: what is made, what is left alone, what is replaced."""

from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from kwic.config.model import TlsOptions
from kwic.errors import SetupError
from kwic.transport.certificates import CLIENT_AUTH, SERVER_AUTH, common_name, good_for, host_names
from kwic.transport.demo_pki import CLOUD, DemoPki, DemoPlan, check_demo_pki, make_demo_pki, stores_of
from kwic.transport.entries import StoreFormat
from kwic.transport.stores import load_store, read_password
from kwic.transport.tls import Credentials
from test.transport.tls_ends import DAY_S, NO_TLS_OPTIONS, NOW_S, REQUIRED, Joined

TENANTS = DemoPlan(clients={"tenant101": "tenant101", "tenant201": "tenant201"})


class DemoPkiTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Path(self.mktemp())

    def make(self, plan: DemoPlan | None = None, **more) -> DemoPki:
        return make_demo_pki(self.directory, plan, **{"now_s": NOW_S, **more})

    def refused(self, callable_, *args, **more) -> str:
        error = self.assertRaises(SetupError, callable_, *args, **more)
        self.assertNotIn("\n", str(error))
        return str(error)

    def key_in(self, path: Path):
        return load_store(path, read_password(path.with_suffix(".pw"))).entries[0]


class MakeTests(DemoPkiTestCase):
    """What is made."""

    def test_tutorial_names(self) -> None:
        """The names, aliases and contents are those of the KWIC tutorials."""
        pki = self.make()
        stores = self.directory / "stores"
        self.assertEqual(
            sorted(path.name for path in stores.iterdir()),
            sorted(
                f"{what}-{side}.{suffix}"
                for what in ("keystore", "truststore")
                for side in ("cloud", "onprem")
                for suffix in ("jceks", "pw")
            ),
        )
        cloud, onprem = self.key_in(pki.keystore("cloud")), self.key_in(pki.keystore("onprem"))
        self.assertEqual((cloud.alias, onprem.alias), ("example.com", "tenant101"))
        self.assertEqual(host_names(cloud.certificate), ("example.com", "*.example.com"))
        self.assertEqual(common_name(onprem.certificate), "tenant101")
        self.assertTrue(
            good_for(cloud.certificate, SERVER_AUTH) and not good_for(cloud.certificate, CLIENT_AUTH)
        )
        self.assertTrue(
            good_for(onprem.certificate, CLIENT_AUTH) and not good_for(onprem.certificate, SERVER_AUTH)
        )
        trusted = load_store(pki.truststore("cloud"), None).certificates
        self.assertEqual([alias for alias, _ in trusted], ["client-ca"])
        self.assertEqual(trusted[0][1], onprem.chain[-1])

    def test_they_work_together(self) -> None:
        """Cloud and on-prem side reach each other with them, mutually verified, in every format."""
        for store_format in StoreFormat:
            self.directory = Path(self.mktemp())
            pki = self.make(replace(TENANTS, formats=(store_format,)))
            cloud = Credentials.from_security(pki.security(CLOUD))
            for tenant in TENANTS.clients:
                joined = Joined(
                    cloud.server_options(["example.com"], REQUIRED),
                    Credentials.from_security(pki.security(tenant)).client_options(
                        "cloud1.example.com", NO_TLS_OPTIONS
                    ),
                )
                self.assertTrue(joined.talk(), joined.server.why)
                self.assertEqual(joined.server.identity.names, {tenant})

    def test_cluster(self) -> None:
        """Two cloud gateways with the same keystore are members of one cluster; a tenant is not."""
        pki = self.make()
        cloud = Credentials.from_security(pki.security(CLOUD))
        self.assertTrue(Joined(cloud.cluster_server_options(), cloud.cluster_client_options()).talk())
        tenant = Credentials.from_security(pki.security("onprem"))
        self.assertFalse(Joined(cloud.cluster_server_options(), tenant.cluster_client_options()).talk())

    def test_private_files(self) -> None:
        """Keys, keystores and passwords are for their owner only; certificates are for everybody."""
        pki = self.make()
        for path in self.directory.rglob("*"):
            mode = stat.S_IMODE(path.stat().st_mode)
            if path.is_file():
                public = path.suffix == ".crt" or (
                    path.name.startswith("truststore") and path.suffix != ".pw"
                )
                self.assertEqual(mode, 0o644 if public else 0o600, path)
        self.assertEqual(stat.S_IMODE(pki.ca_key().parent.stat().st_mode), 0o700)
        self.assertEqual(list(self.directory.rglob(".*")), [])

    def test_passwords(self) -> None:
        """Each store has a password of its own, unless one was given for all."""
        pki = self.make()
        found = {read_password(pki.password_file(path)) for path in stores_of(pki, DemoPlan())}
        self.assertEqual(len(found), 4)
        pki = self.make(DemoPlan(password="ab987c"), force=True)
        self.assertEqual(
            {read_password(pki.password_file(path)) for path in stores_of(pki, DemoPlan())}, {b"ab987c"}
        )

    def test_addresses_and_rsa(self) -> None:
        """Hosts may be IP addresses, keys may be RSA, names longer than a common name may be are no problem."""
        plan = DemoPlan(hosts=("192.0.2.7", "::1", "a." * 40 + "example.com"), use_rsa=True)
        certificate = self.key_in(self.make(plan).keystore(CLOUD)).certificate
        self.assertEqual(set(host_names(certificate)), set(plan.hosts))
        joined = Joined(
            Credentials.from_security(
                DemoPki(directory=self.directory, format=StoreFormat.JCEKS).security(CLOUD)
            ).server_options(["192.0.2.7"], NO_TLS_OPTIONS),
            Credentials.from_security(
                DemoPki(directory=self.directory, format=StoreFormat.JCEKS).security("onprem")
            ).client_options("::1", TlsOptions(protocols=("TLSv1.2",))),
        )
        self.assertTrue(joined.talk(), joined.client.why)

    def test_impossible_plans(self) -> None:
        """A client called cloud, no host, no time: refused."""
        self.assertIn("cannot be called 'cloud'", self.refused(DemoPlan, clients={"cloud": "x"}))
        for wrong in ({"hosts": ()}, {"formats": ()}, {"days": 0}):
            self.assertIn("at least one host", self.refused(DemoPlan, **wrong))

    def test_cannot_write(self) -> None:
        """A file where a directory should be is named, and nothing half-written is left."""
        self.directory.mkdir()
        (self.directory / "stores").write_text("in the way")
        self.assertIn("stores: cannot be written", self.refused(self.make))


class RepeatTests(DemoPkiTestCase):
    """Made before."""

    def test_no_overwriting(self) -> None:
        """What is there is not overwritten unless asked; then everything is new."""
        pki = self.make()
        before = pki.keystore(CLOUD).read_bytes()
        self.assertIn("--force replaces everything", self.refused(self.make))
        self.assertEqual(pki.keystore(CLOUD).read_bytes(), before)
        authority = pki.ca().read_bytes()
        self.make(force=True)
        self.assertNotEqual(pki.keystore(CLOUD).read_bytes(), before)
        self.assertNotEqual(pki.ca().read_bytes(), authority)

    def test_renewal(self) -> None:
        """Renewed certificates come from the same authorities and lie behind the same passwords: running gateways take them over."""
        pki = self.make()
        cloud, onprem = (Credentials.from_security(pki.security(side)) for side in (CLOUD, "onprem"))
        options = cloud.server_options(["example.com"], REQUIRED)
        old = self.key_in(pki.keystore(CLOUD)).certificate
        self.make(renew=True)
        new = self.key_in(pki.keystore(CLOUD))
        self.assertNotEqual(new.certificate, old)
        self.assertTrue(cloud.changed())
        cloud.reload()
        joined = Joined(options, onprem.client_options("example.com", NO_TLS_OPTIONS))
        self.assertTrue(joined.talk(), joined.client.why)  # the on-prem side has not even reloaded
        self.assertIn("*.example.com", joined.client.identity.names)

    def test_another_tenant(self) -> None:
        """A renewal with another tenant adds it, with a certificate that the cloud trusts already."""
        pki = self.make()
        cloud = Credentials.from_security(pki.security(CLOUD))
        self.make(DemoPlan(clients={"onprem": "tenant101", "tenant301": "tenant301"}), renew=True)
        joined = Joined(
            cloud.server_options(["example.com"], REQUIRED),
            Credentials.from_security(pki.security("tenant301")).client_options(
                "example.com", NO_TLS_OPTIONS
            ),
        )
        self.assertTrue(joined.talk(), joined.server.why)

    def test_nothing_to_renew(self) -> None:
        """A renewal without authorities is refused."""
        self.assertIn("server-ca.crt: there is no such file", self.refused(self.make, renew=True))


class CheckTests(DemoPkiTestCase):
    """Whether what is there will do."""

    def check(self, plan: DemoPlan | None = None, days_later: float = 0) -> DemoPki | None:
        return check_demo_pki(self.directory, plan or DemoPlan(), now_s=NOW_S + days_later * DAY_S)

    def test_nothing_there(self) -> None:
        """Nothing at all is not an error."""
        self.assertIsNone(self.check())

    def test_all_there(self) -> None:
        """Stores that hold today and fit are found."""
        pki = self.make()
        self.assertEqual(self.check(), pki)
        self.assertEqual(self.check(DemoPlan(hosts=("cloud1.example.com",))), pki)

    def test_missing(self) -> None:
        """Some there and some not is an error that names one."""
        pki = self.make()
        pki.truststore("onprem").unlink()
        self.assertIn("truststore-onprem.jceks: missing", self.refused(self.check))

    def test_expired(self) -> None:
        """Certificates that have ended are an error with the date."""
        self.make(DemoPlan(days=20))
        self.assertIn("expired on", self.refused(self.check, days_later=21))

    def test_other_names(self) -> None:
        """Stores for other hosts or tenants are an error that says what to do."""
        self.make()
        self.assertIn(
            "does not name example.org; --renew", self.refused(self.check, DemoPlan(hosts=("example.org",)))
        )
        other = DemoPlan(clients={"onprem": "tenant999"})
        self.assertIn("is for CN=tenant101, not tenant999", self.refused(self.check, other))

    def test_wrong_password(self) -> None:
        """A password file that does not fit its store is an error."""
        pki = self.make()
        pki.password_file(pki.keystore(CLOUD)).write_text("other")
        self.assertIn("wrong password", self.refused(self.check))
