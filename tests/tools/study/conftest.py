"""Fabricated runs of three methods, and the study that is made of them."""

import json
import sys
import threading
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from raters import METHODS, PROMPTS


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """Run folders with films that say whose they are."""
    root = tmp_path_factory.mktemp("runs")
    for method in METHODS:
        for i, prompt in enumerate(PROMPTS):
            folder = root / method / f"run-{i:02}"
            folder.mkdir(parents=True)
            (folder / "metrics.json").write_text(json.dumps({"prompt": prompt, "particles": []}))
            (folder / "turntable_0.mp4").write_bytes(f"{method} {prompt}".encode() * 50)
    return root


@pytest.fixture
def study(runs, tmp_path):
    from redream.tools.study_make import find_objects, make_study

    out = tmp_path / "study"
    objects = {method: find_objects(runs / method) for method in METHODS}
    assert make_study(objects, out, "Which one?", repeats=3) == 36
    return out


@pytest.fixture
def served(study):
    from redream.tools.study_serve import make_server

    server = make_server(study, "127.0.0.1", 0)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()
