"""The small page in which an object turns: what stands in it, and what may not."""

import pytest

pytest.importorskip("gradio")

from fastapi import FastAPI
from starlette.testclient import TestClient

from redream.ui.objects import add_objects


@pytest.fixture
def client(tmp_path):
    run = tmp_path / "out" / "sweep" / "a<b>dog"
    run.mkdir(parents=True)
    article = '<article class="card particle"><script type="model/{}">{}</script></article>'
    (run / "report.html").write_text(
        article.format("gltf-binary", "AAAA") + article.format("splats", "c3BsYXRz")
    )
    (run / "particle_0.glb").write_bytes(b"glTF<script>")
    (run / "turntable_1.mp4").write_bytes(b"film")
    (tmp_path / "secret.glb").write_bytes(b"secret")
    (run / "particle_2.glb").symlink_to(tmp_path / "secret.glb")
    app = FastAPI()
    add_objects(app, tmp_path / "out")
    return TestClient(app)


def test_a_model_is_embedded_and_splats_are_the_report_s_own(client):
    first = client.get("/object/0/sweep/a%3Cb%3Edog")
    assert 'type="model/gltf-binary">Z2xURjxzY3JpcHQ+</script>' in first.text
    assert 'model/splats">' not in first.text and "<video" not in first.text
    second = client.get("/object/1/sweep/a%3Cb%3Edog").text
    assert 'type="model/splats">c3BsYXRz</script>' in second
    assert 'src="../../../out/sweep/a%3Cb%3Edog/turntable_1.mp4"' in second
    for each in (first.text, second):
        assert "a<b>dog" not in each


def test_it_may_do_nothing_but_draw(client):
    policy = client.get("/object/0/sweep/a%3Cb%3Edog").headers["content-security-policy"]
    assert policy.startswith("sandbox allow-scripts") and "allow-same-origin" not in policy
    assert "default-src 'none'" in policy


@pytest.mark.parametrize("path", ["9/sweep/a%3Cb%3Edog", "0/nothing", "0/..%2f", "-1/sweep/a"])
def test_there_is_no_other(client, path):
    assert client.get(f"/object/{path}").status_code == 404


def test_a_link_leads_nowhere(client):
    answer = client.get("/object/2/sweep/a%3Cb%3Edog")
    assert answer.status_code == 200 and "c2VjcmV0" not in answer.text
