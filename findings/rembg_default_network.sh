#!/usr/bin/env bash
# rembg is MIT, and its default network may not be used commercially without paying.
#
# rembg is what most tools remove backgrounds with, and U2-Net (Apache 2.0, 170 MB) was its default for
# years. The tempting guess: `rembg.remove(picture)` of an MIT package is free of conditions, and cheap.
# It is not any more: without a `session` it now downloads BRIA's RMBG-2.0, 1 GB whose licence asks for
# a paid agreement for commercial use. A tool that does not name its network changes its users' licence
# with an update. Name one: `rembg.new_session("isnet-general-use")`.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
python3 -m venv env && env/bin/pip install --quiet --no-deps "rembg==2.0.86" 2>/dev/null
env/bin/python - <<'PY'
import ast, importlib.metadata, importlib.util
from pathlib import Path

about = importlib.metadata.metadata("rembg")
folder = Path(importlib.util.find_spec("rembg").submodule_search_locations[0])
tree = ast.parse((folder / "session_factory.py").read_text("utf-8"))
(function,) = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == "new_session"]
default = ast.literal_eval(function.args.defaults[0])
text = about.get_payload() or about["Description"]
(line,) = [each for each in text.splitlines() if each.startswith(f"- {default} ")]
conditions = [each for each in line.split(". ") if "commercial" in each]
print("rembg", about["Version"], "licence of the package:", about["License"])
print("network without a session:", default)
for each in conditions:
    print("its page says:", each)
raise SystemExit(0 if default == "bria-rmbg" and conditions else 1)
PY
