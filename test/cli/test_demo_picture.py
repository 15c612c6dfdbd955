"""The demo's picture of who is joined to whom."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from kwic.cli.demo.cast import Cast
from kwic.cli.demo.picture import Link, Picture, View, view_from


def link(peer: str, **changed: object) -> Link:
    """A healthy tunnel to a peer."""
    facts = {"peer": peer, "names": ("serviceA",), "clients": 0, "rtt_ms": 0.4, "suspect": False, **changed}
    return Link(**facts)  # type: ignore[arg-type]


def whole() -> dict[str, View | None]:
    """What all say when everybody is joined to everybody."""
    agents = (link("o1"), link("o2", clients=1))
    return {
        "cloud1": View(instance="c1", links=agents, members=("c2",)),
        "cloud2": View(instance="c2", links=agents, members=("c1",)),
        "onprem1": View(instance="o1", links=(), members=()),
        "onprem2": View(instance="o2", links=(), members=()),
    }


class PictureTests(SynchronousTestCase):
    """Who is joined to whom."""

    def setUp(self) -> None:
        cast = Cast(network="127.0.0", scenarios=Path(), stores=Path())
        self.gateways = cast.gateways

    def test_nothing_missing(self) -> None:
        """When everybody is joined to everybody, nothing is missing."""
        self.assertEqual(Picture(whole()).missing(self.gateways), [])

    def test_silent_instance(self) -> None:
        """An instance that does not answer is what is missing, not all the tunnels that hang on it."""
        views = {**whole(), "cloud2": None}
        self.assertEqual(Picture(views).missing(self.gateways), ["cloud2 does not answer"])

    def test_stopped_instance(self) -> None:
        """Nothing is missed of an instance that is not meant to run."""
        views = {**whole(), "onprem1": None}
        running = [player for player in self.gateways if player.name != "onprem1"]
        self.assertEqual(Picture(views).missing(running), [])

    def test_missing_tunnel(self) -> None:
        """A tunnel that is not there is named by its two ends."""
        views = {**whole(), "cloud1": View(instance="c1", links=(link("o2"),), members=("c2",))}
        self.assertEqual(Picture(views).missing(self.gateways), ["onprem1 serves nothing through cloud1"])

    def test_tunnel_without_names(self) -> None:
        """A tunnel in which nothing is served, such as that of a forward service, does not count."""
        links = (link("o1", names=()), link("o2"))
        views = {**whole(), "cloud1": View(instance="c1", links=links, members=("c2",))}
        self.assertEqual(Picture(views).missing(self.gateways), ["onprem1 serves nothing through cloud1"])

    def test_tunnel_of_an_earlier_start(self) -> None:
        """A tunnel to what an instance was before it was started anew does not count."""
        views = {**whole(), "onprem1": View(instance="o1-new", links=(), members=())}
        missing = Picture(views).missing(self.gateways)
        self.assertEqual(
            missing, ["onprem1 serves nothing through cloud1", "onprem1 serves nothing through cloud2"]
        )

    def test_quiet_tunnel(self) -> None:
        """A tunnel whose other end has gone quiet does not count, and is shown as quiet."""
        views = {
            **whole(),
            "cloud1": View(instance="c1", links=(link("o1", suspect=True), link("o2")), members=("c2",)),
        }
        picture = Picture(views)
        self.assertEqual(picture.missing(self.gateways), ["onprem1 serves nothing through cloud1"])
        self.assertIn("tunnel, quiet, 0 clients", "\n".join(picture.table(self.gateways)))

    def test_split_cluster(self) -> None:
        """A cloud instance that does not see the other in the cluster is named."""
        views = {**whole(), "cloud2": View(instance="c2", links=(link("o1"), link("o2")), members=())}
        self.assertEqual(Picture(views).missing(self.gateways), ["cloud2 does not see cloud1 in the cluster"])

    def test_table(self) -> None:
        """The table has a column for each cloud instance and a row for each on-prem."""
        views = {**whole(), "cloud2": None}
        self.assertEqual(
            Picture(views).table(self.gateways),
            [
                "                  cloud1                            cloud2 (down)",
                "onprem1           tunnel, 0.4 ms, 0 clients         ·",
                "onprem2           tunnel, 0.4 ms, 1 client          ·",
                "cluster           ·                                 ·",
            ],
        )


class ViewTests(SynchronousTestCase):
    """What an instance says about itself."""

    def test_incomplete_status(self) -> None:
        """A status without what is needed is not taken for one."""
        self.assertRaises(KeyError, view_from, {"instance": "c1"})
