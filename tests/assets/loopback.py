"""Objaverse's files behind a server on this machine that misbehaves as it is told."""

import gzip
import json
import threading
import time
from collections import Counter, defaultdict
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from fabricated import write_box_glb

UIDS = [letter * 32 for letter in "abcd"]


class Loopback(SimpleHTTPRequestHandler):
    """Serves a folder; ``server.faults[path]`` is what happens to the next requests for it."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        with self.server.lock:
            self.server.asked[self.path] += 1
            faults = self.server.faults[self.path] or self.server.faults["*"]
            fault = faults.pop(0) if faults else None
        if fault == "drop":  # before any answer
            self.close_connection = True
        elif isinstance(fault, int):
            self.send_response(fault)
            self.send_header("Content-Length", "0")
            self.send_header("Retry-After", "0")
            self.end_headers()
        elif fault == "stall":
            time.sleep(1.5)
            self.close_connection = True
        elif fault is not None:
            self.answer_badly(fault)
        else:
            super().do_GET()

    def answer_badly(self, fault):
        data = Path(self.translate_path(self.path)).read_bytes()
        kept = b"<html>sign in</html>" if fault == "page" else data[: len(data) // 2]
        self.send_response(200)
        if fault == "truncate":  # fewer bytes than promised
            self.send_header("Content-Length", str(len(data)))
        elif fault in ("shorten", "page"):  # promised rightly, but not the whole file
            self.send_header("Content-Length", str(len(kept)))
        elif fault == "unsized":  # nothing promised at all
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(kept)
        self.close_connection = True

    def log_message(self, *args):
        pass


@contextmanager
def serve(folder):
    """Yields a server with ``url``, ``faults`` (by path) and ``asked`` (how often, by path)."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Loopback, directory=str(folder)))
    server.daemon_threads = True
    server.url = f"http://127.0.0.1:{server.server_port}"
    server.faults, server.asked, server.lock = defaultdict(list), Counter(), threading.Lock()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def make_dataset(folder):
    """Objaverse's layout with four boxes in two shards."""
    paths, shards = {}, defaultdict(dict)
    for number, uid in enumerate(UIDS):
        shard = f"000-00{number % 2}"
        paths[uid] = f"glbs/{shard}/{uid}.glb"
        write_box_glb(folder / paths[uid])
        shards[shard][uid] = {
            "name": f"box {number}",
            "license": ("by", "cc0", "by-nc", "by-sa")[number],
            "user": {"username": "ann", "displayName": "Ann"},
            "viewerUrl": f"sketchfab/{uid}",
            "categories": [{"name": "furniture-home"}],
            "faceCount": 12,
            "animationCount": number,
        }
    write_json(folder / "object-paths.json.gz", paths)
    write_json(folder / "lvis-annotations.json.gz", {"crate": UIDS[:2], "carton": UIDS[1:2]})
    for shard, annotations in shards.items():
        write_json(folder / "metadata" / f"{shard}.json.gz", annotations)


def write_json(path, entries):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(json.dumps(entries).encode()))
