"""The back end of the laboratory: says who connected, then sends back what it gets. ``python -m test.lab.echo PORT``.

The first bytes of every answer are the peer's address, so that a client knows through which instance it came.
"""

from __future__ import annotations

import asyncio
import socket
import sys

PEER_BYTES = 16  # the address as text, padded with blanks
READ_BYTES = 65536


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One connection: the peer's address, the echo, FIN for FIN."""
    try:
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        writer.write(writer.get_extra_info("peername")[0].encode().ljust(PEER_BYTES))
        while data := await reader.read(READ_BYTES):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


async def run(port: int) -> None:
    """Listen until killed."""
    server = await asyncio.start_server(serve, "0.0.0.0", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(run(int(sys.argv[1])))
