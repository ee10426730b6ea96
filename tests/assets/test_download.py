import pytest
from loopback import serve

from redream.assets.download import Downloader

FAST = Downloader(num_tries=3, timeout_s=0.5, backoff_s=0.0)
DATA = bytes(range(256)) * 9000  # more than one chunk


@pytest.fixture
def server(tmp_path):
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "file").write_bytes(DATA)
    with serve(tmp_path / "served") as server:
        yield server


def whole(path):
    if path.read_bytes() != DATA:
        raise ValueError("not the file")


def fetch(server, path, check=whole, downloader=FAST):
    downloader.fetch(f"{server.url}/file", path, check)


@pytest.mark.parametrize(
    "fault", [500, 503, 429, "drop", "stall", "truncate", "shorten", "unsized", "page"]
)
def test_passing_faults_are_survived(server, tmp_path, fault):
    server.faults["/file"] = [fault, fault]
    fetch(server, tmp_path / "deep" / "file")
    assert (tmp_path / "deep" / "file").read_bytes() == DATA
    assert server.asked["/file"] == 3
    assert len(list((tmp_path / "deep").iterdir())) == 1


def test_lasting_faults_are_named_and_leave_what_was_there(server, tmp_path):
    (tmp_path / "file").write_bytes(b"old")
    server.faults["/file"] = [503, "drop", "truncate"]
    with pytest.raises(ConnectionError, match=r"/file: cut short after \d+ of 2304000 bytes \(3 t"):
        fetch(server, tmp_path / "file")
    server.faults["/file"] = [503] * 3
    with pytest.raises(ConnectionError, match="HTTP 503"):
        fetch(server, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == b"old"
    assert {path.name for path in tmp_path.iterdir()} == {"file", "served"}


@pytest.mark.parametrize(("code", "error"), [(404, FileNotFoundError), (403, ConnectionError)])
def test_what_will_not_change_is_not_tried_again(server, tmp_path, code, error):
    server.faults["/file"] = [code] * 3
    with pytest.raises(error, match=f"HTTP {code}"):
        fetch(server, tmp_path / "file")
    assert server.asked["/file"] == 1


def test_waits_grow_and_obey_the_server_up_to_a_minute(server, tmp_path, monkeypatch):
    waits = []
    monkeypatch.setattr("redream.assets.download.time.sleep", waits.append)
    monkeypatch.setattr("redream.assets.download._retry_after", lambda headers: 7.0)
    server.faults["/file"] = ["drop"] * 4 + [503]
    fetch(server, tmp_path / "file", downloader=Downloader(9, backoff_s=1.0))
    assert [round(wait / 2**i) for i, wait in enumerate(waits[:4])] == [1, 1, 1, 1]
    server.faults["/file"] = [503] + ["drop"] * 7
    waits.clear()
    fetch(server, tmp_path / "file", downloader=Downloader(9, backoff_s=1.0))
    assert waits[0] == 7.0 and waits[-1] == 60.0


def test_no_server_and_no_space_are_one_line(tmp_path, monkeypatch):
    with pytest.raises(ConnectionError, match=r"refused \(3 tries\)"):
        FAST.fetch("http://127.0.0.1:9/file", tmp_path / "file", whole)
    with pytest.raises(ValueError, match="num_tries"):
        Downloader(num_tries=0)


def test_a_full_disk_is_not_the_networks_fault(server, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="No space left"):
        fetch(server, tmp_path / "file")
    assert server.asked["/file"] == 1
    assert [path.name for path in tmp_path.iterdir()] == ["served"]
