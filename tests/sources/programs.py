"""Harmless programs that stand in for generators, and a box for them to write."""

import shlex
import sys

import trimesh

BOX = """
import json, os, sys, time
from pathlib import Path
glb, said = Path(sys.argv[1]), sys.argv[2:]
glb.parent.joinpath("said.json").write_text(json.dumps([os.getcwd(), said, dict(os.environ)]))
Path({told!r}).write_text(json.dumps([os.getcwd(), said, dict(os.environ)]))
glb.write_bytes(Path({box!r}).read_bytes())
"""


def program(folder, body=BOX, **values):
    """Writes a program; gives the words that start it, quoted for a command line."""
    box, told = folder / "box.glb", folder / "told.json"
    trimesh.creation.box((1.0, 2.0, 3.0)).export(box)
    path = folder / "tool.py"
    path.write_text(body.format(told=str(told), box=str(box), **values))
    return f"{shlex.quote(sys.executable)} {shlex.quote(str(path))}", told
