"""Floor 0: what is decided, without I/O. Back-off, redirects, choice of path, liveness."""
