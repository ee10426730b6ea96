"""Who is measured by ``benchmarks/retrieval.py``; each step runs in a process of its own.

``python benchmarks/retrieval_contenders.py prepare | build | answer FOLDER CONTENDER``
"""

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

K = 10
ENOUGH = 0.99  # the recall that peers are tuned to, by the smallest setting that reaches it
PATIENCE_S = 40.0  # a slow contender is asked fewer of the queries
WARM_UP_S = 40.0  # of queries before times are taken: how long the first takes is the cold start
_LADDER = (1, 2, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)

Search = Callable[[np.ndarray, int], np.ndarray]
"""From a query and a peer's setting to the K best rows."""


class Ours:
    """A retriever of ReDream as it is: from an encoded prompt to assets, at its defaults."""

    def __init__(self, class_name: str) -> None:
        self.class_name = class_name

    def build(self, folder: Path) -> None:
        """Makes what the retriever keeps, by asking once."""
        self._search(folder)(np.load(folder / "queries.npy")[0], 0)

    def open(self, folder: Path) -> tuple[Search, tuple[int, ...]]:
        """The retriever on the index, with nothing to tune."""
        return self._search(folder), (0,)

    def kept(self, folder: Path) -> Path:
        """The folder of what the retriever made."""
        name = self.class_name.removesuffix("Retriever").lower()
        return folder / "index" / name

    def _search(self, folder: Path) -> Search:
        retriever = self.retriever(folder)

        def search(query: np.ndarray, setting: int) -> np.ndarray:
            retriever.encoder.vector = query
            return np.array([int(asset.uid) for asset in retriever.retrieve("x", K)])

        return search

    def retriever(self, folder: Path) -> Any:  # noqa: ANN401
        """The retriever on the index, with an encoder that hands on a vector."""
        import torch

        from redream import retrieval

        class Given(retrieval.Encoder):
            """Hands on a vector in the place of a prompt."""

            name = "given"
            vector: Any = None

            def __init__(self) -> None:
                pass

            def encode_texts(self, texts: list[str]) -> Any:  # noqa: ANN401
                return torch.from_numpy(self.vector)[None]

        return getattr(retrieval, self.class_name)(
            folder / "index", encoder=Given(), ranking="text"
        )


class Tuned(Ours):
    """The same with a peer's task: from a vector to rows, at the smallest setting that does."""

    def open(self, folder: Path) -> tuple[Search, tuple[int, ...]]:
        """The retriever's search with the ladder of partitions looked into."""
        retriever = self.retriever(folder)
        partitions = round(len(retriever.index) ** 0.5)

        def search(query: np.ndarray, setting: int) -> np.ndarray:
            retriever.search_fraction = min(1.0, setting / partitions)
            return np.asarray(retriever._nearest(query, K))

        return search, _LADDER


class Faiss:
    """faiss by itself, with float32 vectors as it keeps them."""

    def __init__(self, description: str) -> None:
        self.description = description

    def build(self, folder: Path) -> None:
        """Trains, adds everything and writes one file."""
        import faiss

        vectors = np.load(folder / "vectors.npy", mmap_mode="r")
        lists = round(len(vectors) ** 0.5)
        index = faiss.index_factory(
            vectors.shape[1], self.description.format(lists=lists), faiss.METRIC_INNER_PRODUCT
        )
        sample = np.sort(np.random.default_rng(0).permutation(len(vectors))[: 64 * lists])
        index.train(vectors[sample].astype(np.float32))
        for start in range(0, len(vectors), 65_536):
            index.add(vectors[start : start + 65_536].astype(np.float32))
        faiss.write_index(index, str(self.kept(folder)))

    def open(self, folder: Path) -> tuple[Search, tuple[int, ...]]:
        """The index with the ladder of its search setting."""
        import faiss

        index = faiss.read_index(str(self.kept(folder)))

        def search(query: np.ndarray, setting: int) -> np.ndarray:
            parameters = None
            if "IVF" in self.description:
                parameters = faiss.SearchParametersIVF(nprobe=min(setting, index.nlist))
            elif "HNSW" in self.description:
                parameters = faiss.SearchParametersHNSW(efSearch=max(K, setting))
            return np.asarray(index.search(query[None], K, params=parameters)[1][0])

        return search, (_LADDER if self.description != "Flat" else (0,))

    def kept(self, folder: Path) -> Path:
        """The index file."""
        return folder / f"{self.description.format(lists='')}.faiss"


class Scann:
    """ScaNN by itself, as its documentation configures it: inner product, float32 reordering."""

    def build(self, folder: Path) -> None:
        """Builds and serialises."""
        from scann.scann_ops.py import scann_ops_pybind as scann

        vectors = np.load(folder / "vectors.npy", mmap_mode="r").astype(np.float32)
        leaves = round(len(vectors) ** 0.5)
        searcher = (
            scann.builder(vectors, K, "dot_product")
            .tree(leaves, leaves // 10, training_sample_size=100 * leaves)
            .score_ah(2, anisotropic_quantization_threshold=0.2)
            .reorder(200)
            .build()
        )
        self.kept(folder).mkdir()
        searcher.serialize(str(self.kept(folder)), relative_path=True)

    def open(self, folder: Path) -> tuple[Search, tuple[int, ...]]:
        """The searcher with the ladder of partitions looked into."""
        from scann.scann_ops.py import scann_ops_pybind as scann

        searcher = scann.load_searcher(str(self.kept(folder)))

        def search(query: np.ndarray, setting: int) -> np.ndarray:
            return np.asarray(searcher.search(query, K, 200, setting)[0], dtype=np.int64)

        return search, _LADDER

    def kept(self, folder: Path) -> Path:
        """ScaNN's folder."""
        return folder / "scann-alone"


CONTENDERS: dict[str, Any] = {
    "ExactRetriever": Ours("ExactRetriever"),
    "ScannRetriever": Ours("ScannRetriever"),
    "FaissRetriever": Ours("FaissRetriever"),
    "ScannRetriever, tuned": Tuned("ScannRetriever"),
    "FaissRetriever, tuned": Tuned("FaissRetriever"),
    "ScaNN alone": Scann(),
    "faiss flat": Faiss("Flat"),
    "faiss IVF": Faiss("IVF{lists},Flat"),
    "faiss HNSW": Faiss("HNSW32"),
}


def prepare(folder: Path) -> dict[str, Any]:
    """Writes the index that our retrievers open; its pictures are its captions."""
    from redream.retrieval.writing import write_index
    from redream.types import Asset

    vectors = np.load(folder / "vectors.npy", mmap_mode="r")
    assets = [Asset(str(row), "") for row in range(len(vectors))]
    write_index(folder / "index", assets, vectors, vectors, {"name": "given", "init_args": {}})
    return {}


def build(folder: Path, name: str) -> dict[str, Any]:
    """Builds a contender.

    Returns:
        Seconds, peak memory while building, and bytes of what is kept.
    """
    begin = time.perf_counter()
    CONTENDERS[name].build(folder)
    seconds = time.perf_counter() - begin
    kept = CONTENDERS[name].kept(folder)
    files = [*kept.rglob("*")] if kept.is_dir() else [kept]
    files += (folder / "index" / "records").glob("*") if "Retriever" in name else []
    return {
        "build_s": seconds,
        "build_peak_bytes": _peak(),
        "kept_bytes": sum(path.stat().st_size for path in files if path.is_file()),
    }


def answer(folder: Path, name: str) -> dict[str, Any]:
    """Loads a contender, answers once and says so, then answers all queries one by one.

    Returns:
        The setting, recall, the times of a query in milliseconds after all were asked once (or for
        forty seconds), and the process's peak memory.
    """
    queries = np.load(folder / "queries.npy")
    search, ladder = CONTENDERS[name].open(folder)
    search(queries[0], ladder[len(ladder) // 2])
    print(flush=True)
    cold_cpu_s = time.process_time()
    truth = np.load(folder / "truth.npy")
    begin = time.perf_counter()
    for query in queries:
        if time.perf_counter() - begin < WARM_UP_S:
            search(query, ladder[len(ladder) // 2])
    for setting in ladder:
        milliseconds, processor, hits = [], [], 0
        for query, best in zip(queries, truth, strict=True):
            begin, begin_cpu = time.perf_counter(), time.process_time()
            rows = search(query, setting)
            milliseconds.append(1e3 * (time.perf_counter() - begin))
            processor.append(1e3 * (time.process_time() - begin_cpu))
            hits += len(set(rows.tolist()) & set(best.tolist()))
            if sum(milliseconds) > 1e3 * PATIENCE_S:
                break
        recall = hits / (K * len(milliseconds))
        if recall >= ENOUGH:
            break
    return {
        "setting": setting,
        "recall": recall,
        "num_queries": len(milliseconds),
        "p50_ms": float(np.quantile(milliseconds, 0.5)),
        "p50_cpu_ms": float(np.quantile(processor, 0.5)),
        "p99_ms": float(np.quantile(milliseconds, 0.99)),
        "cold_start_cpu_s": cold_cpu_s,
        "peak_bytes": _peak(),
    }


def _peak() -> int:
    """Peak resident memory of this process in bytes."""
    status = Path("/proc/self/status")
    if status.is_file():  # getrusage counts what the parent had before this process began
        peak = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(peak.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


if __name__ == "__main__":
    step, path, *names = sys.argv[1:]
    steps: dict[str, Callable[..., dict[str, Any]]] = {"build": build, "answer": answer}
    print(json.dumps(prepare(Path(path)) if step == "prepare" else steps[step](Path(path), *names)))
