"""Serves a study's page and nothing else, and writes the answers down."""

import os
import re
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from redream.plain_data import read_json
from redream.tools.study_make import KEY

COLUMNS = ("rater", "pair", "left", "right", "chosen", "again", "seconds")
_MOST = 2000  # bytes of an answer
_FILM = re.compile(r"/films/([0-9a-f]{16})\.mp4")
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")


def serve(study: Path, host: str = "127.0.0.1", port: int = 8000) -> None:
    """Serves until Ctrl-C.

    Args:
        study: The study's folder; answers are appended to its ``answers.csv``.
        host: Address to listen on; only this machine by default.
        port: Port; 0 takes a free one.
    """
    with make_server(study, host, port) as server:
        print(f"http://{host}:{server.server_address[1]}/  (Ctrl-C ends)", flush=True)
        server.serve_forever()


def make_server(study: Path, host: str, port: int) -> ThreadingHTTPServer:
    """The server, listening.

    Raises:
        FileNotFoundError: If the folder holds no study.
    """
    if not (study / KEY).is_file():
        raise FileNotFoundError(f"{study} holds no study: make one with `redream study make`")
    handler = type("Handler", (_Handler,), {"study": study, "key": read_key(study)})
    return ThreadingHTTPServer((host, port), handler)


def read_key(study: Path) -> dict[str, Any]:
    """Whose films are whose."""
    key: dict[str, Any] = read_json((study / KEY).read_text("utf-8"))
    return key


def checked(answer: Any, key: dict[str, Any]) -> dict[str, str]:  # noqa: ANN401
    """An answer's columns as text, if it is one that the page can give.

    Raises:
        ValueError: If it is not; the reason.
    """
    if not isinstance(answer, dict):
        raise ValueError("an answer is an object")
    row = {column: str(answer.get(column, "")) for column in COLUMNS}
    pair = key["pairs"].get(row["pair"])
    if pair is None:
        raise ValueError("there is no such pair")
    if sorted((row["left"], row["right"])) != pair["films"]:
        raise ValueError("these films are not the pair's")
    if row["chosen"] not in pair["films"]:
        raise ValueError("the chosen film is not the pair's")
    if not re.fullmatch(r"[0-9a-zA-Z_-]{1,40}", row["rater"]):
        raise ValueError("a rater is a short word")
    if row["again"] not in ("0", "1") or not re.fullmatch(r"\d{1,6}(\.\d{1,3})?", row["seconds"]):
        raise ValueError("again is 0 or 1 and seconds a number")
    return row


class _Handler(BaseHTTPRequestHandler):
    study: Path
    key: dict[str, Any]
    _writing = threading.Lock()
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """The page, or one of its films."""
        film = _FILM.fullmatch(self.path)
        if self.path in ("/", "/index.html"):
            self._send((self.study / "page" / "index.html").read_bytes(), "text/html")
        elif film is not None and film[1] in self.key["films"]:
            path = self.study / "page" / "films" / f"{film[1]}.mp4"
            self._send(path.read_bytes(), "video/mp4")
        else:
            self._refuse(HTTPStatus.NOT_FOUND, "there is nothing here")

    def do_POST(self) -> None:
        """Takes an answer."""
        length = self.headers.get("Content-Length", "")
        if self.path != "/answers" or not length.isdigit() or int(length) > _MOST:
            self.close_connection = True
            self._refuse(HTTPStatus.BAD_REQUEST, "an answer is a short POST to /answers")
            return
        try:
            row = checked(read_json(self.rfile.read(int(length))), self.key)
        except ValueError as error:
            self._refuse(HTTPStatus.BAD_REQUEST, str(error))
            return
        self._append(row)
        self._send(b"{}", "application/json")

    def _append(self, row: dict[str, str]) -> None:
        line = ",".join(row[column] for column in COLUMNS) + "\n"
        with self._writing, (self.study / "answers.csv").open("a", encoding="utf-8") as file:
            if file.tell() == 0:
                file.write(",".join(COLUMNS) + "\n")
            file.write(line)
            file.flush()
            os.fsync(file.fileno())

    def _send(self, body: bytes, kind: str) -> None:
        wanted = _RANGE.fullmatch(self.headers.get("Range", ""))  # Safari plays no film without
        total = len(body)
        start = int(wanted[1]) if wanted else 0
        if wanted and start < total:
            end = min(int(wanted[2] or total - 1), total - 1)
            body = body[start : end + 1]
            self.send_response(HTTPStatus.PARTIAL_CONTENT)
            self.send_header("Content-Range", f"bytes {start}-{end}/{total}")
        else:
            self.send_response(HTTPStatus.OK)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _refuse(self, status: HTTPStatus, reason: str) -> None:
        body = reason.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Silence: the answers are the log."""
