"""Measures retrieval side by side: exact search, ScaNN and faiss, ours and by themselves.

Run with ``python benchmarks/retrieval.py --page docs/retrieval.md`` (half an hour on two cores),
or ``--quick`` (a minute). Everything is built in one process and answers in a fresh one, so that
memory and cold start are each contender's own. With ``--folder`` all is kept, and what is measured
there already is not measured again: the command may be stopped, and given in parts by ``--only``.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from page import put  # noqa: E402
from retrieval_contenders import CONTENDERS  # noqa: E402
from retrieval_page import as_page, as_section  # noqa: E402
from retrieval_vectors import caption_vectors, clustered_vectors  # noqa: E402

K = 10
HNSW, READY = "faiss HNSW", "ready"
CAPTIONS = Path(__file__).parents[2] / "shared" / "objaverse" / "captions.csv"


def main() -> None:
    """Runs the benchmark and prints, or writes, what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--dimension", type=int, default=768)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--quick", action="store_true", help="25,000 rows of 128 dimensions")
    parser.add_argument("--json", action="store_true", help="print the measurements as JSON")
    parser.add_argument("--report", type=Path, help="what --json printed, instead of measuring")
    parser.add_argument("--page", type=Path, help="write a page of Markdown, docs/retrieval.md")
    parser.add_argument("--folder", type=Path, help="keep vectors, indices and measures here")
    parser.add_argument("--section", type=Path, help="put the tables into a page's <!-- rows -->")
    parser.add_argument(
        "--hnsw-up-to", type=int, default=100_000, help="rows up to which HNSW is built"
    )
    parser.add_argument("--only", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    options = parser.parse_args()
    if options.quick:
        options.rows, options.dimension, options.queries = [25_000], 128, 50
    report = json.loads(options.report.read_text()) if options.report else run(options)
    if options.page:
        options.page.write_text(as_page(report), encoding="utf-8")
    if options.section:
        put(options.section, "rows", as_section(report))
    print(json.dumps(report, indent=2) if options.json else as_page(report))


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measures everything that the command line asks for."""
    results: list[dict[str, Any]] = []
    if CAPTIONS.is_file() and not options.section:
        with place(options, "captions") as folder:
            results += measure("captions", folder, lambda: caption_vectors(CAPTIONS), options)
    for rows in options.rows:
        make = partial(clustered_vectors, rows, options.dimension, options.queries)
        with place(options, f"{rows}-{options.dimension}-{options.queries}") as folder:
            results += measure("clustered", folder, make, options)
    return {
        "command": command(),
        "machine": machine(),
        "results": results,
    }


@contextmanager
def place(options: argparse.Namespace, name: str) -> Iterator[Path]:
    """A folder for one set of vectors: of those that are kept, or for as long as the block runs."""
    if options.folder is None:
        with tempfile.TemporaryDirectory() as temporary:
            yield Path(temporary)
        return
    folder = options.folder / name
    folder.mkdir(parents=True, exist_ok=True)
    yield folder


def measure(
    data_name: str,
    folder: Path,
    make: Callable[[], tuple[np.ndarray, np.ndarray] | None],
    options: argparse.Namespace,
) -> list[dict[str, Any]]:
    """Measures every contender on one set of vectors, those that are not measured there yet.

    Args:
        data_name: What the vectors are.
        folder: A folder with room for four times the vectors; what is in it is gone on with.
        make: Gives rows as float16 and queries as float32, unit vectors; None where there are none.
        options: The command line.

    Returns:
        A record per contender that has been measured there.
    """
    if not (folder / READY).is_file():
        data = make()
        if data is None:
            return []
        np.save(folder / "queries.npy", data[1])
        np.save(folder / "truth.npy", exact_truth(*data))
        np.save(folder / "vectors.npy", data[0])
        del data
        contender("prepare", folder)
        (folder / READY).touch()
    num_rows, dimension = np.load(folder / "vectors.npy", mmap_mode="r").shape
    results = []
    for name in CONTENDERS:
        record = folder / f"{name}.json"
        if not record.is_file():
            if name not in options.only or (name == HNSW and num_rows > options.hnsw_up_to):
                continue
            made = folder / f"{name} built.json"
            if not made.is_file():
                made.write_text(json.dumps(contender("build", folder, name)))
            built = json.loads(made.read_text())
            evict(folder)
            begin = time.perf_counter()
            answered = contender("answer", folder, name, begin)
            found = {
                "data": data_name,
                "rows": num_rows,
                "dimension": dimension,
                "vectors_bytes": 2 * num_rows * dimension,
                "contender": name,
                "load": os.getloadavg()[1],
                **built,
                **answered,
            }
            record.write_text(json.dumps(found, indent=2))
            print(json.dumps(found), file=sys.stderr, flush=True)
        results.append(json.loads(record.read_text()))
    return results


def contender(step: str, folder: Path, name: Any = None, begin: float = 0.0) -> dict[str, Any]:  # noqa: ANN401
    """Runs a step of a contender in a fresh process."""
    script = Path(__file__).with_name("retrieval_contenders.py")
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    environment["OMP_NUM_THREADS"] = "1" if step == "answer" else str(os.cpu_count() or 1)
    arguments = [sys.executable, str(script), step, str(folder), str(name)]
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            arguments, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment
        )
        assert process.stdout is not None
        first = process.stdout.readline()  # "answer": printed after the first answer
        cold = time.perf_counter() - begin
        rest = process.stdout.read()
        if process.wait() != 0:
            errors.seek(0)
            raise RuntimeError(f"{step} of {name} ended with {process.returncode}: {errors.read()}")
    measured: dict[str, Any] = json.loads(rest or first)
    return {**measured, "cold_start_s": cold} if step == "answer" else measured


def exact_truth(vectors: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """The K nearest rows of each query, ``queries K``."""
    products = np.concatenate(
        [
            vectors[start : start + 16384].astype(np.float32) @ queries.T
            for start in range(0, len(vectors), 16384)
        ]
    )
    nearest = np.argpartition(-products, K, axis=0)[:K]
    return np.asarray(nearest.T)


def evict(folder: Path) -> None:
    """Drops the folder's files from the page cache, where the system can, for the cold start."""
    if not hasattr(os, "posix_fadvise"):
        return
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def command() -> str:
    """The command line that is running."""
    return " ".join(["python benchmarks/retrieval.py", *sys.argv[1:]])


def machine() -> dict[str, str | int]:
    """What it runs on."""
    processor = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").is_file():
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                processor = line.partition(":")[2].strip()
    packages = ("redream", "numpy", "scann", "faiss-cpu")
    return {
        "processor": processor,
        "cores": os.cpu_count() or 1,
        "date": time.strftime("%Y-%m-%d"),
        "packages": ", ".join(f"{name} {version(name)}" for name in packages),
    }


if __name__ == "__main__":
    main()
