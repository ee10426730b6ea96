import sys
from pathlib import Path

import pytest

from redream.assets import FolderStore
from redream.indexing import index_store
from redream.retrieval import ExactRetriever

sys.path += [str(Path(__file__).parent / room) for room in ("assets", "retrieval")]
from fabricated import write_box_glb  # noqa: E402
from toy_encoders import ColorEncoder  # noqa: E402


def test_from_a_folder_of_files_to_retrieved_assets(tmp_path):
    for name, color in {"r": (255, 0, 0), "g": (0, 255, 0), "b": (0, 0, 255)}.items():
        write_box_glb(tmp_path / "assets" / f"{name}.glb", color)
    (tmp_path / "assets" / "captions.csv").write_text("r,a red box\ng,a green box\nb,a blue box\n")
    store = FolderStore(tmp_path / "assets")
    index = index_store(
        store, ColorEncoder(), tmp_path / "index", num_views=3, background=0.0, progress=False
    )
    assert index.store == store.reference()
    best = ExactRetriever(tmp_path / "index", ColorEncoder()).retrieve("blue", 1)[0]
    assert best.uid == "b"
    assert best.scores["image"] == pytest.approx(1.0, abs=0.05)
    again = FolderStore(**index.store["init_args"])
    assert len(again.load(best.uid).faces) == 12
