"""Floor 0: what is spoken, without I/O. yamux sessions, SOCKS 5, the messages of the cluster."""
