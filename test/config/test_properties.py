"""What ``${…}`` stands for, and GATEWAY_OPTS."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from kwic.config.problem import BadValueError, ConfigError, Severity
from kwic.config.properties import DEEPEST, LONGEST_VALUE, Properties, parse_gateway_opts
from test.config.text import complaints, echo, options, proxy, read, read_one


def known(**written: str) -> Properties:
    """Properties of a file, beside a command line, an environment and a host name."""
    properties = Properties(
        defines={"name": "defined", "empty": "", "only.defined": "yes"},
        environ={"HOME": "/root", "name": "environment", "EMPTY": ""},
        hostname="gateway",
    )
    for name, value in written.items():
        properties.add(name, value)
    return properties


class LookupTests(SynchronousTestCase):
    """Where values come from."""

    def test_order(self) -> None:
        """The command line wins over the file, and the file over the built-in host name."""
        self.assertEqual(known().resolve("${hostname}"), "gateway")
        self.assertEqual(known(hostname="written").resolve("${hostname}"), "written")
        self.assertEqual(known(name="written").resolve("${name}"), "defined")
        self.assertEqual(known(other="written").resolve("${other}"), "written")

    def test_environment_is_asked_by_name_only(self) -> None:
        """${env:NAME} is the environment's, and ${NAME} never is."""
        self.assertEqual(known().resolve("${env:HOME}:${env:name}"), "/root:environment")
        self.assertRaises(BadValueError, known().resolve, "${HOME}")
        self.assertRaises(BadValueError, known().resolve, "${env:hostname}")

    def test_defaults(self) -> None:
        """${name:default} takes the default when there is no value; it may be empty and contain anything."""
        self.assertEqual(known().resolve("${x:443}"), "443")
        self.assertEqual(known().resolve("${name:443}"), "defined")
        self.assertEqual(known().resolve("[${x:}]"), "[]")
        self.assertEqual(known().resolve("${x:http://a:80/}"), "http://a:80/")
        self.assertEqual(known().resolve("${x:${y:${hostname}}}"), "gateway")
        self.assertEqual(known().resolve("${env:NONE:${env:HOME}}"), "/root")

    def test_empty_values_are_none(self) -> None:
        """An empty value does not count, wherever it comes from."""
        self.assertEqual(known(empty="written").resolve("${empty}"), "written")
        self.assertEqual(known(hostname="").resolve("${hostname}"), "gateway")
        self.assertEqual(known().resolve("${env:EMPTY:default}"), "default")
        self.assertRaises(BadValueError, known(x="").resolve, "${x}")

    def test_literals(self) -> None:
        """$${x} is the text ${x}; other dollars and braces are themselves."""
        self.assertEqual(known().resolve("$${name} costs $5 {each} $$ $"), "${name} costs $5 {each} $$ $")
        self.assertEqual(known().resolve("$${name}${name}"), "${name}defined")
        self.assertEqual(known().resolve("$${"), "${")

    def test_values_of_the_file_are_resolved_too(self) -> None:
        """A property may be made of others, in any order."""
        properties = known(a="${b}-${name}", b="${c:x}")
        self.assertEqual(properties.resolve("${a}"), "x-defined")

    def test_values_from_outside_are_not(self) -> None:
        """What the command line and the environment say is taken as it is."""
        properties = Properties(defines={"a": "${b}"}, environ={"E": "${b}"}, hostname="h")
        self.assertEqual(properties.resolve("${a}${env:E}"), "${b}${b}")

    def test_unresolved(self) -> None:
        """The error names the property and the ways to set it, and the one that was meant."""
        error = self.assertRaises(BadValueError, known(host="x").resolve, "${hots}")
        self.assertEqual(error.message, "the property “hots” has no value")
        self.assertEqual(
            error.hint,
            "did you mean “host”? Or give it with -D hots=…, in <properties>, or write ${hots:default}",
        )
        error = self.assertRaises(BadValueError, known().resolve, "${zebra}")
        self.assertTrue(error.hint.startswith("give it with -D zebra=…"))
        error = self.assertRaises(BadValueError, known().resolve, "${env:ZEBRA}")
        self.assertEqual(
            str(error), "the environment variable “ZEBRA” is not set; set it, or write ${env:ZEBRA:default}"
        )

    def test_limits(self) -> None:
        """Cycles, long chains, long values and missing braces are errors."""
        self.assertIn(
            "itself", self.assertRaises(BadValueError, known(a="${b}", b="${a}").resolve, "${a}").message
        )
        chain = {f"p{index}": f"${{p{index + 1}}}" for index in range(DEEPEST + 1)}
        self.assertIn("deep", self.assertRaises(BadValueError, known(**chain).resolve, "${p0}").message)
        self.assertEqual(known(x="x" * LONGEST_VALUE).resolve("${x}"), "x" * LONGEST_VALUE)
        self.assertIn(
            "longer",
            self.assertRaises(BadValueError, known(x="x" * LONGEST_VALUE).resolve, "${x}${x}").message,
        )
        for text in ("${name", "${x:${name}", "a${"):
            self.assertIn("closing brace", self.assertRaises(BadValueError, known().resolve, text).message)

    def test_effective(self) -> None:
        """The gateway sees the properties of the command line over those of the file."""
        properties = known(name="written", empty="written", broken="${nothing}", other="${hostname}")
        self.assertEqual(
            properties.effective(),
            {"name": "defined", "only.defined": "yes", "empty": "written", "other": "gateway"},
        )


class FileTests(SynchronousTestCase):
    """Substitution in a file."""

    def test_text_and_attributes(self) -> None:
        """Element text and attribute values are substituted."""
        service = read_one(
            proxy("tcp://${host}:${port}", "ws://cloud/b").replace(
                "<service>", '<service kwic:liveness="${mode}">'
            ),
            defines={"host": "example.com", "port": "7000", "mode": "fast"},
        )
        self.assertEqual(str(service.accepts[0]), "tcp://example.com:7000")
        self.assertEqual(service.accept_options.liveness.value, "fast")

    def test_entities_survive(self) -> None:
        """&amp; and its like stay what they are; KWIC 5 broke on them."""
        service = read_one(echo("ws://example.com/a?b=1&amp;c=${x:&lt;2&gt;}"))
        self.assertEqual(service.accepts[0].query, "b=1&c=<2>")

    def test_command_line_spares_a_property(self) -> None:
        """A property that the command line overrides need not be resolvable."""
        item = "<properties><property><name>host</name><value>${nowhere}</value></property></properties>"
        self.assertEqual(read(item, echo("tcp://${host}:1"), defines={"host": "h"}).properties, {"host": "h"})
        self.assertEqual(complaints(item, echo("tcp://h:1")), ["error: the property “nowhere” has no value"])

    def test_proxy_properties_reach_the_gateway(self) -> None:
        """Properties that the gateway itself reads are in the configuration, from the file or the command line."""
        item = "<properties><property><name>http.proxyHost</name><value>squid</value></property></properties>"
        properties = read(item, defines={"http.proxyPort": "3128"}).properties
        self.assertEqual(properties, {"http.proxyHost": "squid", "http.proxyPort": "3128"})
        self.assertEqual(
            complaints(item, defines={"https.proxyPort": "0"})[0][:34], "error: the property https.proxyPor"
        )

    def test_unreadable_option_is_not_read_twice(self) -> None:
        """What cannot be substituted is reported once, and no value is made of it."""
        self.assertEqual(
            complaints(proxy("ws://h/x", accept_options=options(ssl_ciphers="${none}"))),
            ["error: the property “none” has no value"],
        )


class GatewayOptsTests(SynchronousTestCase):
    """The environment variable of the container."""

    def test_properties(self) -> None:
        """-Dname=value is a property, quoted as in a shell; a name alone is an empty one; the last one counts."""
        defines, warnings = parse_gateway_opts(
            "-Dcloud-node-hostname=cloud1.example.com '-Dgreeting=hello world' -Dx=a=b -Dalone -Dx2=1 -Dx2=2"
        )
        self.assertEqual(
            defines,
            {
                "cloud-node-hostname": "cloud1.example.com",
                "greeting": "hello world",
                "x": "a=b",
                "alone": "",
                "x2": "2",
            },
        )
        self.assertEqual(warnings, ())

    def test_other_flags(self) -> None:
        """Flags for a JVM are ignored, with one warning each."""
        defines, warnings = parse_gateway_opts("-Xmx512m -XX:+UseG1GC -Dx=1 -Xmx512m stray -D")
        self.assertEqual(defines, {"x": "1"})
        self.assertEqual(
            [warning.message for warning in warnings],
            [
                f"GATEWAY_OPTS: “{flag}” has no effect: there is no JVM here"
                for flag in ("-Xmx512m", "-XX:+UseG1GC", "stray", "-D")
            ],
        )
        self.assertEqual({warning.severity for warning in warnings}, {Severity.WARNING})
        self.assertEqual(warnings[2].hint, "write -Dname=value")

    def test_nothing(self) -> None:
        """An empty variable says nothing."""
        self.assertEqual(parse_gateway_opts("  "), ({}, ()))

    def test_open_quote(self) -> None:
        """Quotes that do not match are an error."""
        error = self.assertRaises(ConfigError, parse_gateway_opts, "-Dx='1")
        self.assertEqual(
            str(error), "error: GATEWAY_OPTS cannot be read: No closing quotation; close every quote"
        )
