"""Tests that start real processes and use real sockets on loopback."""
