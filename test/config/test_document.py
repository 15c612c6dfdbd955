"""Elements and where they stand in the original text."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from kwic.config.document import Element, parse_document
from kwic.config.problem import BadValueError, ConfigError, Place, Problem, Report, Severity
from kwic.config.words import closest, did_you_mean, listed, shown
from test.config.text import complaints, echo


def parse(text: str | bytes) -> Element:
    """The root of a document called file.xml."""
    return parse_document(text.encode() if isinstance(text, str) else text, "file.xml")


def where(place: Place) -> tuple[int, int]:
    """Line and column."""
    return place.line, place.column


class PlaceTests(SynchronousTestCase):
    """Positions."""

    def test_elements(self) -> None:
        """An element is where its tag begins, counted from one, in characters."""
        root = parse('<?xml version="1.0"?>\n<a\n  x="ü">\n  ü <b/><c>x</c>\r\n\t<d/>\n</a>')
        self.assertEqual(where(root.place), (2, 1))
        self.assertEqual([where(child.place) for child in root.children], [(4, 5), (4, 9), (5, 2)])

    def test_values(self) -> None:
        """A value is where its first letter is, after blanks, comments and entities; else where its element is."""
        for text, position in {
            "<a>x</a>": (1, 4),
            "<a>  x</a>": (1, 6),
            "<a>\n  \n    x</a>": (3, 5),
            "<a><!-- no --> x</a>": (1, 16),
            "<a><![CDATA[ x]]></a>": (1, 14),
            "<a> &amp;x</a>": (1, 5),
            "<a>  </a>": (1, 1),
            "<a/>": (1, 1),
        }.items():
            self.assertEqual(where(parse(text).value_place), position, text)

    def test_paths(self) -> None:
        """A path names every element from the root, with numbers where there are several of a name."""
        root = parse("<a><b/><c><d/><d/></c><b/></a>")
        self.assertEqual(root.place.path, "a")
        self.assertEqual([child.place.path for child in root.children], ["a/b[1]", "a/c", "a/b[2]"])
        self.assertEqual([child.place.path for child in root.children[1].children], ["a/c/d[1]", "a/c/d[2]"])

    def test_byte_order_mark(self) -> None:
        """A mark at the start of the file is not a character of the first line."""
        self.assertEqual(where(parse(b"\xef\xbb\xbf<a/>").place), (1, 1))
        self.assertEqual(parse("<?xml version='1.0' encoding='utf-16'?><a>ü</a>".encode("utf-16")).text, "ü")

    def test_text(self) -> None:
        """Text is put together from all its pieces."""
        self.assertEqual(parse("<a>x<!-- c -->&lt;y<![CDATA[&z]]></a>").text, "x<y&z")


class RefusalTests(SynchronousTestCase):
    """What is no document."""

    def assert_refused(self, text: str | bytes, line: str) -> None:
        """The one thing said about a text begins like this."""
        error = self.assertRaises(ConfigError, parse, text)
        self.assertEqual(len(error.problems), 1)
        self.assertTrue(str(error).startswith(line), str(error))

    def test_syntax(self) -> None:
        """Errors of syntax say where, and what is still open."""
        self.assert_refused("", "file.xml:1:1: error: the file is empty; it needs a <gateway-config>")
        self.assert_refused(
            "<a>\n <b></a>", "file.xml:2:7: error: mismatched tag; <b> of line 2 is not closed [a/b]"
        )
        self.assert_refused("<a>", "file.xml:1:4: error: no element found; <a> of line 1 is not closed [a]")
        self.assert_refused(
            "<a>&</a>", "file.xml:1:5: error: not well-formed (invalid token); in XML, & is written"
        )
        self.assert_refused(
            "<a x='1' x='2'/>", "file.xml:1:10: error: duplicate attribute; the file must be XML"
        )
        self.assert_refused(
            b"<a>\xe9</a>", "file.xml:1:4: error: the file is not text in UTF-8; save it as UTF-8"
        )

    def test_dtd_and_entities(self) -> None:
        """Document types, entities and what is outside the file are refused before they do anything."""
        for text in (
            "<!DOCTYPE a><a/>",
            '<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>',
            '<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>',
            '<!DOCTYPE a [<!ENTITY % p SYSTEM "http://example.com/"> %p;]><a/>',
        ):
            self.assertIn("document type declarations", str(self.assertRaises(ConfigError, parse, text)))

    def test_encodings(self) -> None:
        """Encodings that nobody knows, or that are not for XML, are refused."""
        for name in ("latin-99", "utf-7", "rot13", "hex", "shift_jis"):
            text = f'<?xml version="1.0" encoding="{name}"?><a/>'
            self.assert_refused(text, "file.xml:1:31: error: the file cannot be read as XML")


class ProblemTests(SynchronousTestCase):
    """One line for each problem."""

    PLACE = Place(file="cloud-config.xml", line=12, column=7, path="gateway-config/service[2]/accept")

    def test_rendering(self) -> None:
        """A problem says where, how bad, what, what to do, and in which element."""
        problem = Problem(place=self.PLACE, message="no port", hint="write one")
        self.assertEqual(
            problem.render(),
            "cloud-config.xml:12:7: error: no port; write one [gateway-config/service[2]/accept]",
        )
        warning = Problem(place=None, message="strange", severity=Severity.WARNING)
        self.assertEqual(warning.render(), "warning: strange")

    def test_error_shows_all(self) -> None:
        """The text of the exception has a line for each problem."""
        error = ConfigError([Problem(place=None, message="one"), Problem(place=None, message="two")])
        self.assertEqual(str(error), "error: one\nerror: two")

    def test_bad_value(self) -> None:
        """A parser's complaint reads on its own, with or without a hint."""
        self.assertEqual(str(BadValueError("wrong")), "wrong")
        self.assertEqual(str(BadValueError("wrong", "do this")), "wrong; do this")

    def test_too_many_warnings(self) -> None:
        """A file with nothing but warnings starts, however many there are."""
        report = Report()
        for number in range(Report.LIMIT + 5):
            report.warning(None, f"warning {number}")
        report.extend([Problem(place=None, message="one more", severity=Severity.WARNING)])
        self.assertFalse(report.failed)
        self.assertEqual(len(report.problems()), Report.LIMIT + 1)
        self.assertEqual({problem.severity for problem in report.problems()}, {Severity.WARNING})
        report.extend(
            [Problem(place=None, message="an error at last"), Problem(place=None, message="unread")]
        )
        self.assertTrue(report.failed)
        self.assertEqual(report.problems()[-1].severity, Severity.ERROR)

    def test_order_of_the_file(self) -> None:
        """Problems are told in the order of the file, those without a place first."""
        report = Report()
        for line in (3, 1, 2):
            report.error(Place(file="f", line=line, column=1, path=""), f"line {line}")
        report.warning(None, "nowhere")
        self.assertEqual(
            [problem.message for problem in report.problems()], ["nowhere", "line 1", "line 2", "line 3"]
        )


class WordTests(SynchronousTestCase):
    """Suggestions and lists."""

    def test_closest(self) -> None:
        """A word that is near is found whatever its case; a far one is not."""
        self.assertEqual(
            closest("Ws.Inactivity.Timout", ["ws.version", "ws.inactivity.timeout"]), "ws.inactivity.timeout"
        )
        self.assertIsNone(closest("colour", ["ws.version"]))
        self.assertEqual(did_you_mean("acept", ["accept"]), "did you mean “accept”?")
        self.assertEqual(did_you_mean("x", []), "")

    def test_lists(self) -> None:
        """Lists read like a sentence."""
        self.assertEqual(
            [listed(()), listed("a"), listed("ab"), listed("abc", "and")], ["", "a", "a or b", "a, b and c"]
        )

    def test_shown(self) -> None:
        """What is quoted stays on one line and is not longer than one."""
        self.assertEqual(shown("a\nb\x1b"), "“a�b�”")
        self.assertEqual(len(shown("x" * 1000)), 82)


class ShapeTests(SynchronousTestCase):
    """Rules of shape that the corpora do not show."""

    def test_wrong_order_is_a_warning(self) -> None:
        """A child out of order is accepted, and said once per child."""
        service = "<service><type>echo</type><accept>tcp://h:1</accept><name>A</name></service>"
        self.assertEqual(
            complaints(service),
            ["warning: <accept> stands after <type>", "warning: <name> stands after <type>"],
        )

    def test_any_order_below_the_root(self) -> None:
        """After properties the children of the root may stand in any order."""
        security = "<security/>"
        self.assertEqual(complaints(echo(), security, "<service-defaults/>", echo("tcp://h:1", "B")), [])

    def test_idle_elements_are_told_once(self) -> None:
        """What has no effect is said once, however often it stands there."""
        mime = "<mime-mapping><extension>a</extension><mime-type>b</mime-type></mime-mapping>"
        service = echo().replace("</service>", mime * 3 + "</service>")
        self.assertEqual(complaints(service), ["warning: <mime-mapping> has no effect"])
