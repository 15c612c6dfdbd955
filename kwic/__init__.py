"""KWIC: joins a cloud and a data centre through a firewall that lets nothing in."""

__version__ = "6.0.0.dev0"
