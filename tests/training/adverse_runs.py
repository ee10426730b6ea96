"""Tiny runs of the command line on a computer that lacks something.

Usage: python adverse_runs.py PRIOR FOLDER

One process imports everything and forks the runs; how each ended is in FOLDER/ended.json.
"""

import ctypes
import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import trimesh
import yaml

sys.path.insert(0, str(Path(__file__).parent))
from killed_runs import config, imported_once  # noqa: E402
from stopped_runs import ENDED, command, keep  # noqa: E402


def with_few_files():
    """Few more files may be open than are open now."""
    num_open = len(os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (num_open + 8, num_open + 8))


def with_little_memory():
    """As `ulimit -v`: a little more than is held now."""
    held = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGESIZE")
    resource.setrlimit(resource.RLIMIT_AS, (held + (48 << 20), held + (48 << 20)))


def without_shared_memory():
    """An empty file system that can only be read lies over /dev/shm."""
    ctypes.CDLL(None).unshare(0x00020000)  # CLONE_NEWNS
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", "/dev/shm"], check=True)


def spoil_caches(cache):
    """Every file of every cache is cut in half and ends in rubbish."""
    spoilt = [each for each in cache.rglob("*") if each.is_file()]
    for each in spoilt:
        content = each.read_bytes()
        each.write_bytes(content[: len(content) // 2] + b"\0rubbish")
    return len(spoilt)


def main():
    prior, root = map(Path, sys.argv[1:])
    trimesh.creation.box((0.8, 1.0, 1.4)).export(root / "box.glb")
    small = config(prior, root / "box.glb")
    small["trainer"] |= {"max_steps": 1}
    (root / "tiny.yaml").write_text(yaml.safe_dump(small))
    imported_once()

    def run(name, before=None):
        out = root / "out" / name
        more = [f"--trainer.default_root_dir={out}", "--trainer.accelerator=cpu"]
        command(name, root, "fit", "--config=tiny.yaml", *more, before=before)
        keep(name, root, out)

    run("nothing")
    spoilt = spoil_caches(root / "cache")
    run("spoilt caches")
    ENDED["spoilt caches"]["spoilt"] = spoilt
    shutil.rmtree(root / "cache" / "warp")
    run("removed cache")
    run("few files", with_few_files)
    run("little memory", with_little_memory)
    if os.geteuid() == 0:
        run("no shared memory", without_shared_memory)
    (root / "out" / "read-only").mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "ro,size=1m", "tmpfs", str(root / "out" / "read-only")]
    if subprocess.run(mount, capture_output=True).returncode == 0:
        run("read-only")
        subprocess.run(["umount", "--lazy", mount[-1]], check=True)
    (root / "ended.json").write_text(json.dumps(ENDED))


if __name__ == "__main__":
    main()
