"""Takes events from the bridge beside it, on loopback, and handles each once, however often it comes.

A starting point for your own: replace `handle`. What it writes to the database and the note that the event
was handled become true together or not at all. Standard library only.

Settings, by environment:
    HANDLER_PORT    port to listen on, on loopback
    HANDLER_FOLDER  where the database is kept (data/handler in the allocation's shared folder)

Takes `POST /events`, the event as JSON, its id as `Idempotency-Key`. Answers 200 with
`{"handled": ID, "duplicate": false}`, true where it was handled before; another status: it was not
handled, and is to be sent again. Prints one JSON object an event that is new.
"""

import json
import os
import signal
import sqlite3
import sys
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import FrameType
from typing import Any

NAME = "webhook-handler"
BODY_LIMIT = 1 << 20
SCHEMA = """
CREATE TABLE IF NOT EXISTS handled (id TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS inbox (number INTEGER PRIMARY KEY, event TEXT NOT NULL);
"""


def handle(database: sqlite3.Connection, event: dict[str, Any]) -> None:
    """Do what an event asks for. Yours to replace; raise to have the event sent again.

    Runs inside the transaction that notes the event as handled. What leaves this database is better
    written down here and sent by somebody who reads it from here: so it, too, is sent for each event.
    """
    database.execute("INSERT INTO inbox (event) VALUES (?)", [json.dumps(event)])


class Desk:
    """The database of what was handled. One event at a time."""

    def __init__(self, folder: Path) -> None:
        """Open it, or make it. Raises OSError, sqlite3.Error."""
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._database = sqlite3.connect(
            folder / "handled.sqlite", isolation_level=None, check_same_thread=False
        )
        # An event that is answered for is on the disk, whatever happens to the machine then.
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = FULL")
        self._database.executescript(SCHEMA)

    def take(self, key: str, event: dict[str, Any]) -> bool:
        """Handle an event unless it was; whether it was new.

        Raises what `handle` raises, and then nothing was done.
        """
        with self._lock:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                noted = self._database.execute("INSERT OR IGNORE INTO handled (id) VALUES (?)", [key])
                if noted.rowcount:
                    handle(self._database, event)
                self._database.execute("COMMIT")
            except BaseException:
                self._database.execute("ROLLBACK")
                raise
        return bool(noted.rowcount)

    def close(self) -> None:
        """Close it, when what is at hand is done."""
        with self._lock:
            self._database.close()


class Server(ThreadingHTTPServer):
    """Listens on loopback only: who is on the same machine may hand over events, and nobody else."""

    daemon_threads = True

    def __init__(self, port: int, desk: Desk) -> None:
        """Listen."""
        self.desk = desk
        super().__init__(("127.0.0.1", port), Request)


class Request(BaseHTTPRequestHandler):
    """One connection of the bridge."""

    server: Server
    protocol_version = "HTTP/1.1"
    timeout = 60

    def do_POST(self) -> None:
        """Take one event."""
        try:
            length = int(self.headers["Content-Length"])
            key = self.headers["Idempotency-Key"].strip()
            event = json.loads(self.rfile.read(length)) if 0 < length <= BODY_LIMIT else None
        except (AttributeError, TypeError, ValueError):
            key, event = "", None
        if self.path != "/events" or not key or not isinstance(event, dict):
            self.close_connection = True
            self._answer(HTTPStatus.BAD_REQUEST, {"error": "not an event with an Idempotency-Key"})
            return
        try:
            new = self.server.desk.take(key, event)
        except Exception as problem:  # noqa: BLE001 - whatever `handle` raises, the event is to come again
            print(f"{NAME}: event {key}: {type(problem).__name__}: {problem}", file=sys.stderr, flush=True)
            self._answer(HTTPStatus.SERVICE_UNAVAILABLE, {"error": "not handled"})
            return
        if new:
            print(json.dumps({"handled": key, "event": event}), flush=True)
        self._answer(HTTPStatus.OK, {"handled": key, "duplicate": not new})

    def _answer(self, status: HTTPStatus, said: dict[str, object]) -> None:
        body = json.dumps(said).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing: each event is printed once, when it is handled."""


def main() -> int:
    """Serve until told to stop; give the exit code."""
    try:
        port = int(os.environ.get("HANDLER_PORT", ""))
    except ValueError:
        print(f"{NAME}: HANDLER_PORT is not set, or no number", file=sys.stderr)
        return 2
    shared = Path(os.environ.get("NOMAD_ALLOC_DIR", ".")) / "data" / "handler"
    desk = Desk(Path(os.environ.get("HANDLER_FOLDER") or shared))
    server = Server(port, desk)

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        # In a thread of its own, as it waits for serve_forever, which this interrupts.
        threading.Thread(target=server.shutdown).start()

    # As process 1 of its container it would not hear these otherwise.
    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    print(f"{NAME}: listening", file=sys.stderr, flush=True)
    server.serve_forever(poll_interval=0.1)
    server.server_close()
    desk.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
