"""The container image's scripts, and the compose files that run it."""
