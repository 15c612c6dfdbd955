"""A stand-in for one process of the demo: echoes on its ports and tells a status, with a fault when one is asked for.

Run as a script with one argument, a JSON object; `folder` is where the stand-ins find each other.
"""

from __future__ import annotations

import http.server
import json
import os
import signal
import socketserver
import sys
import threading
from pathlib import Path


class Echo(socketserver.StreamRequestHandler):
    """Sends back what it gets."""

    def handle(self) -> None:
        while data := self.request.recv(4096):
            self.request.sendall(data)


class Deaf(socketserver.StreamRequestHandler):
    """Closes at once."""

    def handle(self) -> None:
        return


class Server(socketserver.ThreadingTCPServer):
    """A listener with a thread for each connection."""

    allow_reuse_address = True
    daemon_threads = True


def alive(pid: int) -> bool:
    """Whether a process is there, zombies not counted."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def others(folder: Path, prefix: str, myself: str) -> list[str]:
    """The living instances of a side."""
    names = [path.read_text() for path in folder.glob(f"{prefix}*.instance")]
    return [name for name in names if name != myself and alive(int(name.rpartition("-")[2]))]


def main() -> None:
    """Serve until killed."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    role = json.loads(sys.argv[1])
    folder, fault = Path(role["folder"]), role["fault"]
    if fault == "exit":
        sys.exit("ERROR nothing works today")
    instance = f"{role['name']}-{os.getpid()}"
    is_cloud = role["name"].startswith("cloud")
    (folder / f"{role['name']}.instance").write_text(instance)
    print("INFO  up", flush=True)
    if fault == "traceback":
        print("Traceback (most recent call last):", flush=True)

    class Status(http.server.BaseHTTPRequestHandler):
        """The admin port."""

        def do_GET(self) -> None:
            agents = others(folder, "onprem", instance) if is_cloud and fault != "apart" else []
            tunnels = [
                {"peer_instance": a, "names": ["a"], "clients": 0, "rtt_ms": 0.4, "suspect": False}
                for a in agents
            ]
            members = (
                [
                    {"instance": m, "suspect": False, "leaving": False}
                    for m in others(folder, "cloud", instance)
                ]
                if is_cloud
                else []
            )
            text = json.dumps({"instance": instance, "tunnels": tunnels, "members": members}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_args: object) -> None:
            return

    for port in role["ports"]:
        server = Server((role["address"], port), Deaf if fault == "deaf" else Echo)
        threading.Thread(target=server.serve_forever, daemon=True).start()
    with Server((role["address"], role["admin_port"]), Status) as admin:
        admin.serve_forever()


if __name__ == "__main__":
    main()
