"""Who may ask the page, and what of a run is ever sent."""

import base64

import pytest

pytest.importorskip("fastapi")  # which comes with gradio, whose import takes seconds

from fastapi import FastAPI
from starlette.testclient import TestClient

from redream.ui.files import add_files
from redream.ui.guard import Guard
from redream.ui.safety import MAX_UPLOAD


@pytest.fixture
def out(tmp_path):
    run = tmp_path / "out" / "sweep" / "a-dog"
    for name in ("particle_0.glb", "report.html", "previews/step_000002.png", "checkpoints/x.ckpt",
                 "job.json", "page.yaml", "log.txt", ".hidden.png"):  # fmt: skip
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_text(name)
    (tmp_path / "secret.glb").write_text("secret")
    (run / "particle_1.glb").symlink_to(tmp_path / "secret.glb")
    (tmp_path / "out" / "link").symlink_to(tmp_path)
    return tmp_path / "out"


def ask(out, password=None, base="http://127.0.0.1:7860"):
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    add_files(app, out)
    return TestClient(Guard(app, password), base_url=base)


def test_files_of_a_run_are_sent_and_may_do_nothing_but_draw(out):
    client = ask(out)
    assert client.get("/out/sweep/a-dog/particle_0.glb").text == "particle_0.glb"
    assert client.get("/out/sweep/a-dog/previews/step_000002.png").status_code == 200
    report = client.get("/out/sweep/a-dog/report.html")
    policy = report.headers["content-security-policy"]
    assert policy.startswith("sandbox allow-scripts allow-downloads; default-src 'none'")
    assert (
        "allow-same-origin" not in policy and report.headers["x-content-type-options"] == "nosniff"
    )
    assert client.get("/out/sweep/a-dog/log.txt").headers["content-type"].startswith("text/plain")
    saved = client.get("/out/sweep/a-dog/particle_0.glb?download=1")
    assert saved.headers["content-disposition"] == 'attachment; filename="particle_0.glb"'
    part = client.get("/out/sweep/a-dog/particle_0.glb", headers={"Range": "bytes=0-3"})
    assert (part.status_code, part.text) == (206, "part")


@pytest.mark.parametrize(
    "path",
    [
        "/out/sweep/a-dog/job.json",
        "/out/sweep/a-dog/page.yaml",
        "/out/sweep/a-dog/checkpoints/x.ckpt",
        "/out/sweep/a-dog/.hidden.png",
        "/out/sweep/a-dog/particle_1.glb",  # a link to what lies outside
        "/out/link/secret.glb",
        "/out/link/particle_0.glb",
        "/out/..%2fparticle_0.glb",
        "/out/sweep/%2e%2e/%2e%2e/particle_0.glb",
        "/out/particle_9.glb",
        "/looks/..%2f..%2f/asset_0.png",
        "/looks/0123456789abcdef/asset_0.png",
        "/docs",
        "/openapi.json",
    ],
)
def test_nothing_else_is_sent(out, path):
    assert ask(out).get(path).status_code == 404


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": "http://127.0.0.1:7860"}, 200),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "http://127.0.0.1:9999"}, 403),
        ({"Origin": "null"}, 403),
        ({"Host": "evil.example"}, 421),  # a name that was made to mean this address
        ({"Host": "localhost:7860"}, 200),
        ({"Host": "[::1]:7860"}, 200),
        ({"Content-Length": str(MAX_UPLOAD + (2 << 20))}, 413),
        ({"Content-Length": "-1"}, 413),
    ],
)
def test_another_page_cannot_ask(out, headers, status):
    answer = ask(out).get("/out/sweep/a-dog/particle_0.glb", headers=headers)
    assert answer.status_code == status


def test_a_request_from_another_site_changes_nothing(out):
    answer = ask(out).post("/out/x", headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 403


def test_what_others_can_reach_asks_for_a_password(out):
    client, path = ask(out, "geheim-ü", "http://studio.local:80"), "/out/sweep/a-dog/particle_0.glb"
    refused = client.get(path)
    assert refused.status_code == 401 and refused.headers["www-authenticate"].startswith("Basic")
    for word, status in (("geheim-ü", 200), ("geheim", 401), ("", 401)):
        given = base64.b64encode(f"me:{word}".encode()).decode()
        answer = client.get(path, headers={"Authorization": f"Basic {given}"})
        assert answer.status_code == status
    for broken in ("Basic", "Basic !", "Bearer x", f"Basic {base64.b64encode(b'x').decode()}"):
        assert client.get(path, headers={"Authorization": broken}).status_code == 401


def test_no_page_of_somebody_else_is_fetched_for_anyone(out):
    assert ask(out).get("/gradio_api/proxy=https://example.org/x").status_code == 404


def test_every_answer_keeps_the_browser_at_home(out):
    policy = ask(out).get("/nothing").headers["content-security-policy"]
    assert policy.startswith("default-src 'self'") and "http:" not in policy
