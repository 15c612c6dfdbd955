"""Times, sizes, rates, flags, counts and choices."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from kwic.config.model import VerifyClient
from kwic.config.problem import BadValueError
from kwic.config.units import count_from, one_of, parse_flag, parse_rate, parse_size, parse_time_s


class TimeTests(SynchronousTestCase):
    """Spans of time."""

    def test_units(self) -> None:
        """Every unit that KWIC 5 knows is known, in any case, with blanks or without, and days too."""
        units = {
            0.001: "ms milli millis millisecond milliseconds",
            1: "s sec secs second seconds",
            60: "m min mins minute minutes",
            3600: "h hour hours",
            86400: "d day days",
        }
        for seconds, names in units.items():
            for name in names.split():
                for text in (f"2{name}", f"2 {name}", f"2  {name.upper()}", f"2.0 {name.title()}"):
                    self.assertEqual(parse_time_s(text), 2 * seconds, text)

    def test_no_unit_is_seconds(self) -> None:
        """A bare number is a number of seconds."""
        self.assertEqual(parse_time_s("30"), 30.0)

    def test_fractions_count(self) -> None:
        """1.5 minutes is 90 s, not 60 as in KWIC 5, and a point may stand at either end."""
        self.assertEqual(parse_time_s("1.5 minutes"), 90.0)
        self.assertEqual(parse_time_s("2.5 hours"), 9000.0)
        self.assertEqual(parse_time_s(".5 hour"), 1800.0)
        self.assertEqual(parse_time_s("5."), 5.0)
        self.assertEqual(parse_time_s("0.5 ms"), 0.0005)

    def test_nonsense_is_refused(self) -> None:
        """Signs, two points, unknown units, digits of other scripts and whole lifetimes are no times."""
        for text in (
            "",
            "s",
            "-1",
            "+1",
            "1.2.3",
            ".",
            "1 week",
            "1,5 s",
            "1 s 2",
            "٣ s",
            "1e3",
            "99999 days",
        ):
            self.assertRaises(BadValueError, parse_time_s, text)

    def test_misspelt_unit_is_recognised(self) -> None:
        """The error suggests the unit that was meant."""
        error = self.assertRaises(BadValueError, parse_time_s, "55 secnds")
        self.assertEqual(str(error), "“55 secnds” is not a time; did you mean “seconds”?")

    @settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # the machine may be busy
    @given(st.floats(0, 1e8, allow_nan=False).map(lambda number: round(number, 6)))
    def test_any_number_of_seconds(self, seconds: float) -> None:
        """Any plain number means itself."""
        self.assertAlmostEqual(parse_time_s(f"{seconds:.6f} s"), seconds, places=5)


class SizeTests(SynchronousTestCase):
    """Numbers of bytes."""

    def test_units(self) -> None:
        """One k is 1024 and M its square, with or without B and i, in any case."""
        for text, size in {
            "64000": 64000,
            "64k": 65536,
            "64K": 65536,
            "64kB": 65536,
            "64KB": 65536,
            "64KiB": 65536,
            "1m": 1048576,
            "1M": 1048576,
            "1MB": 1048576,
            "1MiB": 1048576,
            "128kB": 131072,
        }.items():
            self.assertEqual(parse_size(text), size, text)

    def test_nonsense_is_refused(self) -> None:
        """Blanks, fractions, signs, other units, nothing and too much are no sizes."""
        for text in (
            "",
            "k",
            "1.5k",
            "-1",
            "64 k",
            "64kb/s",
            "1G",
            "1i",
            "1B",
            "0",
            "0k",
            "2048M",
            "2147483648",
        ):
            self.assertRaises(BadValueError, parse_size, text)


class RateTests(SynchronousTestCase):
    """Bytes per second."""

    def test_units(self) -> None:
        """Letters k and M are decimal, Ki and Mi binary; without a unit it is bytes per second."""
        for text, rate in {
            "512": 512,
            "512B/s": 512,
            "1kB/s": 1000,
            "1KiB/s": 1024,
            "2MB/s": 2000000,
            "2MiB/s": 2097152,
        }.items():
            self.assertEqual(parse_rate(text), rate, text)

    def test_nonsense_is_refused(self) -> None:
        """Blanks, other units and a rate of nothing are errors."""
        for text in ("", "0", "0MB/s", "1 kB/s", "1k", "1KB/s", "1kb/s", "-1", "1.5MB/s"):
            self.assertRaises(BadValueError, parse_rate, text)


class ChoiceTests(SynchronousTestCase):
    """Flags, counts and named choices."""

    def test_flags(self) -> None:
        """A flag is enabled or disabled and nothing else."""
        self.assertTrue(parse_flag("enabled"))
        self.assertFalse(parse_flag("disabled"))
        for text in ("", "true", "on", "Enabled"):
            self.assertRaises(BadValueError, parse_flag, text)

    def test_verify_client(self) -> None:
        """Anything but none, optional and required is an error; KWIC 5 took it for none."""
        parse = one_of(VerifyClient)
        self.assertEqual([parse(text) for text in ("none", "optional", "required")], list(VerifyClient))
        for text in ("want", "Required", "true"):
            self.assertRaises(BadValueError, parse, text)

    def test_counts(self) -> None:
        """A count is a whole number within its limits."""
        parse = count_from(1, 5)
        self.assertEqual((parse("1"), parse("05")), (1, 5))
        for text in ("0", "6", "", "1.0", "-1", "one", "9" * 400, "²"):
            self.assertRaises(BadValueError, parse, text)
