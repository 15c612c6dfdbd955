"""docker-compose.yml is the tutorial's scenario, and the KWIC 5 file beside these tests is one that runs as it is."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import yaml
from twisted.trial.unittest import SynchronousTestCase

from kwic.config.model import GatewayConfig
from kwic.config.properties import parse_gateway_opts
from kwic.config.reader import read_config
from test.docker.scripts import DOCKER

ROOT = DOCKER.parent
KWIC5 = Path(__file__).parent / "kwic5"
CONFIG = "/kaazing-gateway/conf/gateway-config.xml"


def compose_file(folder: Path) -> dict[str, Any]:
    """The compose file of a folder."""
    loaded: dict[str, Any] = yaml.safe_load((folder / "docker-compose.yml").read_text())
    return loaded


def mounts(service: dict[str, Any]) -> dict[str, str]:
    """What is mounted at each path of a service."""
    return {there: here for here, there, *_ in (volume.split(":") for volume in service.get("volumes", ()))}


def configuration(folder: Path, name: str, service: dict[str, Any]) -> GatewayConfig:
    """The configuration of a service, read as its gateway would."""
    defines, _ = parse_gateway_opts(service.get("environment", {}).get("GATEWAY_OPTS", ""))
    path = (folder / mounts(service)[CONFIG]).resolve()
    return read_config(path, defines=defines, environ={}, hostname=name)


class ComposeTests(SynchronousTestCase):
    """docker-compose.yml."""

    def setUp(self) -> None:
        self.file = compose_file(ROOT)
        self.services = self.file["services"]

    def ports(self) -> dict[str, list[str]]:
        """The published ports of each service that has any."""
        return {name: service["ports"] for name, service in self.services.items() if "ports" in service}

    def test_services(self) -> None:
        """The tutorial's names, and the service that makes the certificates."""
        self.assertEqual(
            set(self.services),
            {
                "certs",
                "cloud1.example.com",
                "cloud2.example.com",
                "onprem1.example.org",
                "onprem2.example.org",
                "server-a",
                "server-b",
            },
        )

    def test_ports(self) -> None:
        """The tutorial's ports, and no others, are published."""
        self.assertEqual(
            self.ports(),
            {
                "cloud1.example.com": ["5551:5551"],
                "cloud2.example.com": ["5552:5551"],
                "onprem1.example.org": ["6661:6661"],
                "onprem2.example.org": ["6662:6661"],
            },
        )

    def test_aliases(self) -> None:
        """Both cloud instances, and only they, are example.com too."""
        aliases = {
            name: (service.get("networks", {}).get("kwic-net") or {}).get("aliases", [])
            for name, service in self.services.items()
        }
        self.assertEqual(
            {name for name, given in aliases.items() if given}, {"cloud1.example.com", "cloud2.example.com"}
        )
        self.assertEqual(aliases["cloud1.example.com"], ["example.com"])
        self.assertEqual(aliases["cloud2.example.com"], ["example.com"])

    def test_network(self) -> None:
        """The tutorial's network, which an operator may move when the addresses are taken."""
        (pool,) = self.file["networks"]["kwic-net"]["ipam"]["config"]
        self.assertEqual(pool["subnet"], "${KWIC_SUBNET:-172.34.0.0/16}")

    def test_one_image(self) -> None:
        """All run the same image, which one of them builds and the others wait for."""
        self.assertEqual({service["image"] for service in self.services.values()}, {"kwic"})
        self.assertEqual([name for name, service in self.services.items() if "build" in service], ["certs"])
        build = self.services["certs"]["build"]
        self.assertTrue((ROOT / build["context"] / build["dockerfile"]).samefile(DOCKER / "Dockerfile"))
        self.assertEqual(build["args"], {"BASE_IMAGE": "${BASE_IMAGE:-python:3.13-slim}"})

    def test_certificates(self) -> None:
        """The cloud starts when the certificates are made, on-prem after it; nobody but their maker may write there."""
        made = {"certs": {"condition": "service_completed_successfully"}}
        for name, service in self.services.items():
            if name.startswith("cloud"):
                self.assertEqual(service["depends_on"], made)
            if name.startswith("onprem"):
                self.assertEqual(service["depends_on"], ["cloud1.example.com", "cloud2.example.com"])
            if name.startswith(("cloud", "onprem")):
                self.assertIn("x509:/x509:ro", service["volumes"])
        self.assertEqual(self.services["certs"]["command"], "kwic certs /x509 --if-missing")
        self.assertEqual(self.services["certs"]["volumes"], ["x509:/x509"])

    def test_configurations(self) -> None:
        """Every gateway's configuration is there, and right with the properties that it is given."""
        for name, service in self.services.items():
            if name != "certs":
                self.assertEqual(configuration(ROOT, name, service).warnings, (), name)

    def test_listeners(self) -> None:
        """What is published is what the configuration listens on."""
        for name, published in self.ports().items():
            config = configuration(ROOT, name, self.services[name])
            listened = {accept.port for service in config.services for accept in service.accepts}
            for pair in published:
                self.assertIn(int(pair.split(":")[1]), listened, name)


class Kwic5Tests(SynchronousTestCase):
    """The KWIC 5 compose file that `make docker-test` runs."""

    def test_nothing_of_ours(self) -> None:
        """It names the image of KWIC 5 everywhere, and nothing that only we have."""
        text = (KWIC5 / "docker-compose.yml").read_text()
        services = compose_file(KWIC5)["services"]
        self.assertEqual(
            [service["image"] for service in services.values()],
            ["kaazing/enterprise-gateway:5.7.2"] * len(services),
        )
        self.assertNotRegex(text, "KWIC_|twistd|entrypoint")
        for file in sorted((KWIC5 / "config").iterdir()):
            self.assertNotRegex(file.read_text(), r"urn:kwic|\$\{[^}]*:", file.name)

    def test_configurations(self) -> None:
        """Its configurations are right as they are."""
        for name, service in compose_file(KWIC5)["services"].items():
            self.assertEqual(configuration(KWIC5, name, service).warnings, (), name)

    def test_log4j(self) -> None:
        """A log4j file is mounted beside the configuration, as the tutorials have it."""
        found = [mounts(service) for service in compose_file(KWIC5)["services"].values()]
        files = {there["/kaazing-gateway/conf/log4j-config.xml"] for there in found if len(there) > 1}
        self.assertEqual(files, {"./config/log4j-config.xml"})


class DockerfileTests(SynchronousTestCase):
    """docker/Dockerfile, as far as can be told without building it."""

    def setUp(self) -> None:
        text = (DOCKER / "Dockerfile").read_text().replace("\\\n", "")
        lines = [line for line in text.splitlines() if line and not line.startswith("#")]
        self.instructions = [line.split(None, 1) for line in lines]

    def last(self, name: str) -> str:
        """What the last instruction of a name says: that is what counts."""
        return [text for instruction, text in self.instructions if instruction == name][-1]

    def test_base_image(self) -> None:
        """Both stages are built on the image that is asked for, an official slim Python unless said."""
        self.assertEqual(self.instructions[0], ["ARG", "BASE_IMAGE=python:3.13-slim"])
        stages = [text for instruction, text in self.instructions if instruction == "FROM"]
        self.assertEqual(stages, ["${BASE_IMAGE} AS build", "${BASE_IMAGE}"])

    def test_user(self) -> None:
        """It runs as a user of its own."""
        self.assertEqual(self.last("USER"), "kwic")

    def test_what_it_runs(self) -> None:
        """A gateway unless a command is given, and a health check that asks it."""
        self.assertEqual((self.last("ENTRYPOINT"), self.last("CMD")), ('["entrypoint"]', '["gateway.start"]'))
        self.assertRegex(self.last("HEALTHCHECK"), re.escape('CMD ["gateway.ask", "/health"]'))

    def test_scripts(self) -> None:
        """Every script that it installs is there, and may be run."""
        (install,) = [text for _, text in self.instructions if text.startswith("install ")]
        names = {word for word in install.split() if (DOCKER / word).is_file()}
        scripts = {
            "entrypoint",
            "gateway.start",
            "gateway.ask",
            "wait-for-files.sh",
            "wait-for-host-and-port",
        }
        self.assertEqual(names, scripts)
        for name in names:
            self.assertTrue(os.access(DOCKER / name, os.X_OK), name)

    def test_context(self) -> None:
        """All that is copied from is let in by .dockerignore, which lets in nothing else."""
        lines = (ROOT / ".dockerignore").read_text().splitlines()
        allowed = {line[1:] for line in lines if line.startswith("!")}
        self.assertIn("*", lines)
        self.assertLessEqual({"kwic", "etc", "twisted", "docker", "pyproject.toml", "setup.py"}, allowed)
        self.assertNotIn("test", allowed)
