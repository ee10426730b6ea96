"""What stands in the place of ``redream`` where the page itself is tested: its words and files."""

import json
import os
import shutil
import signal
import struct
import sys
import time
import zlib

COLOURS = ("gold", "clay", "sage", "terracotta", "marble", "teal", "coral", "slate")


def retrieve(words, options):
    """Finds an asset of each colour; of a file of one's own that one, where it is a GLB."""
    num = int(next(each[2:] for each in words if each.startswith("-k")))
    with open(options["config"]) as file:  # JSON, where it is a file of one's own
        typed = file.read()
    own = json.loads(typed)["data"]["assets"] if typed.startswith('{"data"') else []
    found = [(f"uid-{each}", f"a {each} elephant", "library") for each in COLOURS[:num]]
    found = [("own", os.path.basename(each), "own") for each in own] or found
    for place, (uid, _, _) in enumerate(found):
        if uid == "own" and os.path.getsize(own[0]) < 100:
            print(f"no picture of {uid}: it has {os.path.getsize(own[0])} bytes", file=sys.stderr)
        else:
            write_png(f"{options['pictures']}/asset_{place}.png", 256)
    facts = {"license": "cc0", "author": "ReDream", "source": "", "scores": {"text": 0.5}}
    names = ("uid", "caption", "origin")
    print(json.dumps([dict(zip(names, each, strict=True)) | facts for each in found]))


def write_png(path, side):
    """A square of one colour."""
    rows = zlib.compress((b"\0" + b"\xd9\xa4\x1f" * side) * side)
    parts = ((b"IHDR", struct.pack(">2I5B", side, side, 8, 2, 0, 0, 0)), (b"IDAT", rows))
    with open(path, "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        for name, data in (*parts, (b"IEND", b"")):
            check = zlib.crc32(name + data)
            file.write(struct.pack(">I", len(data)) + name + data + struct.pack(">I", check))


def make(verb, words, options):
    """Makes steps until it is asked to stop, where the prompt is long; else it makes three.

    Where it is slow, a step ends once there is a file ``step_has_ended``.
    """
    folder, asked = options["trainer.default_root_dir"], []

    def say(state, step=0):
        text = json.dumps({"state": state, "step": step, "steps": 3, "time": time.time()})
        with open(f"{folder}/status.part", "w") as file:
            file.write(text)
        os.replace(f"{folder}/status.part", f"{folder}/status.json")

    def leave(*_):
        asked.append(True)
        if "slow" not in options["prompt"]:
            save_and_leave()
        if len(asked) > 1:  # as the command line does: once more stops at once
            say("stopped", 1)
            sys.exit(143)

    def save_and_leave():
        os.makedirs(f"{folder}/checkpoints", exist_ok=True)
        open(f"{folder}/checkpoints/last.ckpt", "w").close()
        say("stopped", 1)
        sys.exit(143)

    signal.signal(signal.SIGTERM, leave)
    print(verb, *words, "on", os.environ["CUDA_VISIBLE_DEVICES"], flush=True)
    if "bad" in options["prompt"]:
        sys.exit("redream: error: it is bad")
    say("training", 1)
    end = time.time() + 60
    while "long" in options["prompt"] and "ckpt_path" not in options and time.time() < end:
        time.sleep(0.02)
        if asked and os.path.exists(f"{folder}/step_has_ended"):
            save_and_leave()
    if "REDREAM_STAND_IN_MADE" in os.environ:  # what a run leaves
        shutil.copytree(os.environ["REDREAM_STAND_IN_MADE"], folder, dirs_exist_ok=True)
        uids = json.loads(options.get("data.chosen", '["uid-gold"]'))
        names = ("uid", "caption", "author", "license", "source")
        assets = [dict.fromkeys(names, "") | {"uid": each, "caption": each} for each in uids]
        measures = {"prompt": options["prompt"], "particles": [{"clip_score": 0.5}]}
        for name in ("retrieval", "previews"):
            os.makedirs(f"{folder}/{name}", exist_ok=True)
        write_png(f"{folder}/previews/step_000003.png", 64)
        for place in range(len(assets)):
            write_png(f"{folder}/retrieval/asset_{place}.png", 256)
        with open(f"{folder}/metrics.json", "w") as file:
            file.write(json.dumps({**measures, "models": [], "assets": assets}))
    say("finished", 3)


if __name__ == "__main__":
    _verb, *_words = sys.argv[1:]
    _options = dict(each[2:].split("=", 1) for each in _words if "=" in each)
    if _verb == "retrieve":
        retrieve(_words, _options)
    elif "--print_config" not in _words:
        make(_verb, _words, _options)
