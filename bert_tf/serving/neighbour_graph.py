"""Approximate search: a graph of near passages, which faiss builds and searches.

The graph is that of Malkov and Yashunin 2016, "Efficient and robust approximate nearest neighbor search using
Hierarchical Navigable Small World graphs". It finds candidates by vectors of float16; the caller scores them exactly.
"""

from typing import Any

import numpy as np

_LINKS = 32
_WIDTH_OF_BUILDING = 200
_WIDTH_OF_SEARCH = 128
_FEWEST_CANDIDATES = 16


class NeighbourGraph:
    """A graph of the passages by the products of their vectors.

    Args:
        dimension: the size of a vector.

    Raises:
        ImportError: faiss is not installed.
    """

    def __init__(self, dimension: int) -> None:
        faiss = _faiss()
        half = faiss.ScalarQuantizer.QT_fp16
        self._graph: Any = faiss.IndexHNSWSQ(dimension, half, _LINKS, faiss.METRIC_INNER_PRODUCT)
        self._graph.hnsw.efConstruction = _WIDTH_OF_BUILDING

    def __len__(self) -> int:
        return int(self._graph.ntotal)

    def add(self, vectors: np.ndarray) -> None:
        """Add passages, [P, D], behind those that the graph has."""
        self._graph.add(np.ascontiguousarray(vectors, np.float32))

    def candidates(self, queries: np.ndarray, top_k: int) -> np.ndarray:
        """Return the indices of at least `top_k` passages that are near each query, int64 [Q, C]; -1 for none."""
        count = min(max(2 * top_k, _FEWEST_CANDIDATES), len(self))
        width = _faiss().SearchParametersHNSW(efSearch=max(_WIDTH_OF_SEARCH, 2 * count))
        _, indices = self._graph.search(np.ascontiguousarray(queries, np.float32), count, params=width)
        return indices

    def to_bytes(self) -> bytes:
        """Return the graph in faiss's format."""
        return _faiss().serialize_index(self._graph).tobytes()

    @classmethod
    def from_bytes(cls, contents: bytes) -> "NeighbourGraph":
        """Return the graph of `to_bytes`."""
        graph = cls.__new__(cls)
        graph._graph = _faiss().deserialize_index(np.frombuffer(contents, np.uint8))
        return graph


def _faiss() -> Any:
    try:
        import faiss
    except ImportError as error:
        raise ImportError(f"approximate search needs faiss: pip install 'bert_tf[ann]' ({error})") from error
    return faiss
