"""Is an index what its manifest says: hashes, doubled uids, lengths of vectors, the encoder."""

import numpy as np

from redream.retrieval.encoder import Encoder
from redream.retrieval.faults import broken
from redream.retrieval.index import IMAGE, TABLE, TEXT, EmbeddingIndex, file_hash
from redream.retrieval.rows import Rows

_CHUNK = 16384  # rows read at once
_TOLERANCE = 0.01  # of a float16 vector's length
_SAME = 0.99  # cosine of a caption embedded twice by one encoder


def verify_index(index: EmbeddingIndex, encoder: Encoder | None = None, sample: int = 0) -> None:
    """Reads everything in an index and says what is wrong first.

    Opening has compared counts and sizes already.

    Args:
        index: The index.
        encoder: The encoder that it is to be searched with; by default the one it names.
        sample: Captions that are embedded again and compared, which loads the encoder.

    Raises:
        ValueError: If a file was changed, a uid comes twice, a vector is not finite or not of
            length one, or the encoder is another one than the index was built with.
    """
    files = index.manifest["files"]
    for name in (TABLE, TEXT, IMAGE):
        if name in files and file_hash(index.path / name) != files[name]["sha256"]:
            raise broken(index.path, f"{name} was changed after it was written")
    uids = index.table["uid"].to_numpy()
    values, counts = np.unique(uids, return_counts=True)
    if (counts > 1).any():
        raise broken(index.path, f"uid {values[counts > 1][0]} comes twice")
    for name, vectors in ((TEXT, index.text), (IMAGE, index.image)):
        if isinstance(vectors, np.ndarray):
            _verify_vectors(index, name, vectors, uids)
    _verify_encoder(index, encoder, sample)


def _verify_vectors(
    index: EmbeddingIndex, name: str, vectors: np.ndarray, uids: np.ndarray
) -> None:
    rows = Rows(vectors, np.float32)
    for start in range(0, len(vectors), _CHUNK):
        lengths = np.linalg.norm(rows[start : start + _CHUNK], axis=1)
        for wrong, what in (
            (~np.isfinite(lengths), "is not finite"),
            (np.abs(lengths - 1.0) > _TOLERANCE, "does not have length one"),
        ):
            if wrong.any():
                uid = uids[start + int(np.argmax(wrong))]
                raise broken(index.path, f"the vector of {uid} in {name} {what}")


def _verify_encoder(index: EmbeddingIndex, encoder: Encoder | None, sample: int) -> None:
    if encoder is None and sample == 0 and "model" not in index.manifest["encoder"]["init_args"]:
        return  # an encoder that no name makes again
    given, encoder = encoder is not None, encoder or Encoder(**index.encoder)
    if not given and sample == 0 and not encoder.is_local:
        return  # a published model is not downloaded for that
    if encoder.name != index.encoder_name:
        raise ValueError(
            f"the index at {index.path} was built with encoder {index.encoder_name}, not "
            f"{encoder.name}: use that encoder or build the index again"
        )
    rows = np.unique(np.linspace(0, len(index) - 1, min(sample, len(index))).round().astype(int))
    if len(rows) == 0:
        return
    captions = [asset.caption for asset in index.assets(rows.tolist())]
    again = encoder.encode_texts(captions).numpy()
    kept = Rows(index.text, np.float32)[rows]
    if again.shape != kept.shape:
        raise broken(
            index.path,
            f"its vectors have {kept.shape[1]} numbers, {encoder.name} makes {again.shape[1]}",
        )
    cosines = (again * kept).sum(1)
    if cosines.min() < _SAME:
        uid = index.asset(int(rows[cosines.argmin()])).uid
        raise broken(
            index.path,
            f"{encoder.name} gives the caption of {uid} another vector (cosine "
            f"{cosines.min():.2f}), so its texts were embedded by another model",
        )
