"""Thirty real assets as Blender's own importer and renderer show them, without light.

Blender is no dependency: ``REDREAM_BPY_PYTHON`` names a Python of another environment that has it
(``python3.11 -m venv blender && blender/bin/pip install bpy``). With ``REDREAM_BPY_OUT`` a
sheet of the worst five, ours on the left, is written there.
"""

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from redream.assets import AssetRenderer, load_mesh
from redream.cameras import turntable

SIZE, NUM, AZIMUTH_DEG = 256, 30, 35


@pytest.fixture(scope="module")
def blender():
    """The Python that has Blender."""
    python = os.environ.get("REDREAM_BPY_PYTHON")
    if python is None:
        pytest.skip("REDREAM_BPY_PYTHON names no Python with bpy")
    return python


def ours(file, cameras):
    """RGBA over nothing, colour not multiplied by alpha."""
    renderer = AssetRenderer(load_mesh(file), ambient=1.0, diffuse=0.0)
    views = renderer.render(cameras, SIZE, SIZE, supersample=4)
    rgb = views.rgb[0] / views.opacity[0].clamp_min(1e-6)
    return torch.cat([rgb, views.opacity[0]]).permute(1, 2, 0).numpy()


@pytest.mark.slow
def test_blender_shows_the_same(blender, objaverse, tmp_path):
    files = sorted(objaverse.rglob("*.glb"))
    files = [files[i * len(files) // NUM] for i in range(NUM)]
    cameras = turntable(360, elevation_deg=20.0).select(slice(AZIMUTH_DEG, AZIMUTH_DEG + 1))
    camera = {"c2w": cameras.c2w[0].tolist(), "fovy_deg": float(cameras.fovy_deg[0])}
    jobs = [
        {"file": str(file), "out": str(tmp_path / f"{i}.png"), **camera}
        for i, file in enumerate(files)
    ]
    (tmp_path / "jobs.json").write_text(json.dumps({"size": SIZE, "radius": 0.9, "jobs": jobs}))
    script = Path(__file__).with_name("blender_unlit.py")
    done = subprocess.run(
        [blender, str(script), str(tmp_path / "jobs.json")], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    rows = []
    for file, job in zip(files, jobs, strict=True):
        mine = ours(file, cameras)
        theirs = np.asarray(Image.open(job["out"]).convert("RGBA")) / 255.0
        inside = [each[..., 3] > 0.5 for each in (mine, theirs)]
        iou = (inside[0] & inside[1]).sum() / (inside[0] | inside[1]).sum()
        means = [
            each[..., :3][shown].mean(0) for each, shown in zip((mine, theirs), inside, strict=True)
        ]
        rows.append(
            (float(iou), float(np.abs(means[0] - means[1]).max() * 255), file, mine, theirs)
        )
    for iou, difference, file, *_ in sorted(rows, key=lambda row: -row[1]):
        print(f"{file.stem} IoU {iou:.4f} mean colour {difference:.2f}/255")
    if os.environ.get("REDREAM_BPY_OUT"):
        worst = sorted(rows, key=lambda row: row[0])[:5] + sorted(rows, key=lambda row: -row[1])[:5]
        sheet = np.concatenate([np.concatenate(row[3:], axis=1) for row in worst])
        sheet = sheet[..., :3] * sheet[..., 3:] + 1.0 - sheet[..., 3:]
        Image.fromarray((sheet.clip(0, 1) * 255).astype(np.uint8)).save(
            os.environ["REDREAM_BPY_OUT"]
        )
    assert min(row[0] for row in rows) >= 0.98
    assert max(row[1] for row in rows) <= 3.0
