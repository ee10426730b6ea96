# The two that matter: `make demo` makes an object, `make test` checks everything.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test test-oldest fuzz kills gpu lint format types docs notebooks blender clean

demo: .venv/.installed  ## set up and run the main job; open outputs/demo/report.html
	$(BIN)/redream fit --config configs/default.yaml --trainer.devices auto

# Bytecode is kept, whatever the shell says, for the processes that tests start.
test: .venv/.installed-dev  ## set up and run the tests, one thread for each of two workers
	PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist worksteal

fuzz: .venv/.installed-dev  ## spoil ten thousand inputs; those that break a promise are kept
	OMP_NUM_THREADS=1 $(BIN)/python tests/fuzz/fuzzing.py --inputs 10000 --json outputs/fuzz.json

kills: .venv/.installed-dev  ## kill runs at 20 random moments; all must go on to the same end
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/kills.py --kills 20 --fresh-caches 2

gpu: .venv/.installed-dev  ## what a card shows in eight minutes: outputs/gpu.md; short without one
	$(BIN)/python benchmarks/gpu.py

OLDEST := tests/priors tests/adapters tests/retrieval tests/test_end_to_end.py

test-oldest: .venv-oldest/.installed  ## what reads others' files, on the oldest versions allowed
	OMP_NUM_THREADS=1 .venv-oldest/bin/pytest -W default::DeprecationWarning $(OLDEST)

lint: .venv/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: .venv/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: .venv/.installed-dev
	$(BIN)/mypy

docs: .venv/.installed-docs  ## pages to docs/_build; `make notebooks` first gives them pictures
	$(BIN)/sphinx-build -W -b html docs docs/_build

notebooks: .venv/.installed-docs  ## run the notebooks in full, with their pictures into the docs
	$(BIN)/python docs/render_notebooks.py

blender:  ## the extension for Blender 4.2 and newer: dist/redream-VERSION.zip
	$(PYTHON) integrations/blender/build.py --out dist

clean:
	rm -rf docs/_build docs/notebooks docs/api docs/cli.md .pytest_cache .mypy_cache .ruff_cache

# Stamps: the environment is completed again only when a pyproject.toml changes. The tests of the
# plugins that are installed here need no weights: those that do are skipped without them.
PLUGINS := plugins/redream-sentence

.venv/.installed: pyproject.toml | .venv
	$(BIN)/pip install --quiet --editable .
	touch $@

.venv/.installed-%: pyproject.toml $(PLUGINS:%=%/pyproject.toml) | .venv
	$(BIN)/pip install --quiet --editable ".[dev,$*]" $(PLUGINS:%=--editable ./%)
	touch $@ .venv/.installed

# Every lower bound of pyproject.toml at once; uv finds them, which pip cannot.
.venv-oldest/.installed: pyproject.toml
	$(PYTHON) -m venv .venv-oldest
	.venv-oldest/bin/pip install --quiet uv
	.venv-oldest/bin/uv pip install --quiet --python .venv-oldest/bin/python \
		--resolution lowest-direct --editable ".[dev]"
	touch $@

.venv:
	$(PYTHON) -m venv .venv
