"""Floor 1: what moves bytes. TLS, WebSocket, tunnels, streams, legs and the relay between two of them."""
