"""The files of a saved index.

```
index folder/  index.json (IndexDescription)  vectors-ID.npy  passages-ID.jsonl  graph-ID.faiss (approximate search)
```
"""

import contextlib
import dataclasses
import io
import os
import re
import uuid
from collections.abc import Iterable, Sequence
from typing import IO, Any

import numpy as np

from bert_tf.configs import Config
from bert_tf.configs.base import check_choice
from bert_tf.runs.descriptions import EmbeddingSettings
from bert_tf.utils import files, json_text
from bert_tf.utils.arguments import renamed

INDEX_FILE = "index.json"
VECTORS, PASSAGES, GRAPH = "vectors.npy", "passages.jsonl", "graph.faiss"
FORMAT_VERSION = 1
DTYPES = ("float32", "float16")

_DATA_FILE = re.compile(
    r"(vectors|passages|graph)-[0-9a-f]{8}\.(npy|jsonl|faiss)(\.tmp-[0-9a-f]{8})?|index\.json\.tmp-[0-9a-f]{8}"
)
_REMEDY = "Make the index again, or copy it again from where it was made"
_ROWS_AT_ONCE = 1 << 14
# A model gives other vectors on another device or in another precision; two models differ by far more.
_LARGEST_DIFFERENCE = 0.02


@dataclasses.dataclass(frozen=True)
class IndexedModel(Config):
    """The identity of the model whose vectors an index holds.

    Attributes:
        vocab_hash: the hash of the vocabulary (`WordPieceTokenizer.vocab_hash`).
        max_seq_length: the largest number of tokens in a row.
        embedding: the settings by which texts become vectors, and vectors are compared.
        probe: the model's vector of a text that is made of its vocabulary.
    """

    vocab_hash: str
    max_seq_length: int
    embedding: EmbeddingSettings
    probe: tuple[float, ...]

    def check_same(self, other: "IndexedModel", path: str, source: str) -> None:
        """Check that another model gives the vectors of this one, up to the precision of the device.

        Args:
            other: the identity of the other model.
            path: the folder of the index, for the message.
            source: the name of the other model, for the message.

        Raises:
            ValueError: it is another model.
        """
        rule = "`path` must hold an index that this model made"
        for name in ("vocab_hash", "max_seq_length", "embedding"):
            made_by, here = getattr(self, name), getattr(other, name)
            if made_by != here:
                raise ValueError(
                    f"{rule}. Received: {path!r}, made by a model whose {name} is {made_by}, for {source}, whose "
                    f"{name} is {here}"
                )
        made_by, here = np.array(self.probe), np.array(other.probe)
        if made_by.shape != here.shape or np.linalg.norm(made_by - here) > _LARGEST_DIFFERENCE * np.linalg.norm(here):
            raise ValueError(
                f"{rule}: the weights are others, or their precision is lower. Received: {path!r}, for {source}"
            )


@dataclasses.dataclass(frozen=True)
class IndexFile(Config):
    """A file of an index, with its size in bytes and its SHA-256."""

    name: str
    size: int
    sha256: str


@dataclasses.dataclass(frozen=True)
class IndexDescription(Config):
    """The description of an index, as its `index.json` holds it.

    Attributes:
        format_version: the version of the folder's form.
        model: the identity of the model.
        long_texts: what becomes of texts that exceed the model's length, as in `Predictor.embed`.
        dtype: the type of the stored vectors, `float32` or `float16`.
        approximate: whether the index is searched by a graph.
        count: the number of passages.
        files: the other files of the folder.
    """

    format_version: int
    model: IndexedModel
    long_texts: str
    dtype: str
    approximate: bool
    count: int
    files: tuple[IndexFile, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("dtype", self.dtype, DTYPES)

    def path_of(self, path: str, kind: str) -> str:
        """Return the path of the index's file of a kind, such as `VECTORS`, in the folder `path`.

        Raises:
            ValueError: the index has no such file.
        """
        stem, extension = kind.split(".")
        for file in self.files:
            if file.name.startswith(f"{stem}-") and file.name.endswith(f".{extension}"):
                return os.path.join(path, file.name)
        raise ValueError(f"{os.path.join(path, INDEX_FILE)}: `files` must name a file {stem}-ID.{extension}")


def write_index(
    path: str,
    description: IndexDescription,
    *,
    parts: Sequence[np.ndarray],
    passages: Iterable[dict[str, Any]],
    graph: bytes | None,
    overwrite: bool,
) -> None:
    """Write an index to a folder.

    Each save has files with names of its own, and `index.json`, which is written last, names them. So an index is
    replaced whole or not at all on object stores too, which have no atomic rename of folders.

    Args:
        path: the folder.
        description: the description without `files`.
        parts: the vectors of the passages, in arrays [P', D].
        passages: a JSON object for each passage.
        graph: the graph of approximate search, if there is one.
        overwrite: whether an index at `path` is replaced.

    Raises:
        OSError: `path` holds something else than an index, or an index that is not to be replaced, or cannot be
            written.
    """
    path = path.rstrip("/")
    check_free(path, overwrite=overwrite)
    is_new = not files.exists(path)
    stale = [name for name in files.names_in_folder(path) if _DATA_FILE.fullmatch(name)]
    with renamed(folder="path"):
        files.require_writable_folder(path)
    suffix = uuid.uuid4().hex[:8]
    written = []

    def named(kind: str) -> str:
        stem, extension = kind.split(".")
        written.append(f"{stem}-{suffix}.{extension}")
        return os.path.join(path, written[-1])

    try:
        with files.open_to_write(named(VECTORS)) as file:
            _write_vectors(file, parts, (description.count, len(description.model.probe)), description.dtype)
        with files.open_to_write(named(PASSAGES)) as file:
            for passage in passages:
                file.write(f"{json_text.dumps(passage)}\n".encode())
        if graph is not None:
            files.write_bytes(named(GRAPH), graph)
        described = tuple(_described(path, name) for name in written)
    except BaseException:
        _remove(path, written)
        if is_new:
            files.remove_folder(path)
        raise
    # If this fails, an object store may have the new description nevertheless: the files of both remain.
    files.write_json(os.path.join(path, INDEX_FILE), description.replace(files=described).to_dict())
    _remove(path, stale)


def check_free(path: str, *, overwrite: bool) -> None:
    """Check that an index may be written to a folder.

    Raises:
        OSError: it holds something else than an index, or an index that is not to be replaced.
    """
    names = files.names_in_folder(path)
    others = [name for name in names if name != INDEX_FILE and not _DATA_FILE.fullmatch(name)]
    if not path or (files.exists(path) and not files.is_folder(path)) or others:
        raise FileExistsError(f"`path` must be a new or an empty folder, or that of an index. Received: {path!r}")
    if INDEX_FILE in names and not overwrite:
        raise FileExistsError(f"`path` holds an index, which `overwrite` replaces. Received: {path!r}")


def _write_vectors(file: IO[bytes], parts: Sequence[np.ndarray], shape: tuple[int, int], dtype: str) -> None:
    header = {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    for part in parts:
        for start in range(0, len(part), _ROWS_AT_ONCE):
            file.write(part[start : start + _ROWS_AT_ONCE].tobytes())


def _described(path: str, name: str) -> IndexFile:
    file = os.path.join(path, name)
    return IndexFile(name=name, size=files.size(file), sha256=files.sha256(file))


def _remove(path: str, names: Sequence[str]) -> None:
    """Remove files that no index names, where that is possible; else they only take room."""
    for name in names:
        with contextlib.suppress(OSError):
            files.remove(os.path.join(path, name))


def read_description(path: str) -> IndexDescription:
    """Return the description of an index.

    Raises:
        FileNotFoundError: the folder holds no index.
        ValueError: the description is damaged, or another version of this package wrote it.
    """
    file = os.path.join(path, INDEX_FILE)
    if not files.exists(file):
        raise FileNotFoundError(f"`path` must be the folder of an index, with {INDEX_FILE}. Received: {path!r}")
    values = files.read_json(file)
    version = values.get("format_version") if isinstance(values, dict) else None
    if version != FORMAT_VERSION:
        raise ValueError(f"{file}: `format_version` must be {FORMAT_VERSION}. Received: {version!r}")
    try:
        return IndexDescription.from_dict(values)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{file}: not the description of an index ({error})") from None


def check_sizes(path: str, description: IndexDescription) -> None:
    """Check that the files of an index exist and are whole.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file has another size than it was written with.
    """
    for each in description.files:
        file = os.path.join(path, each.name)
        if not files.exists(file):
            raise FileNotFoundError(f"{file}: this file of the index is missing. {_REMEDY}")
        size = files.size(file)
        if size != each.size:
            raise ValueError(f"{file}: must have {each.size} bytes. {_REMEDY}. Received: {size} bytes")


def check_contents(path: str, description: IndexDescription) -> None:
    """Check that the files of an index hold what was written.

    Raises:
        ValueError: a file is damaged.
    """
    for each in description.files:
        file = os.path.join(path, each.name)
        if files.sha256(file) != each.sha256:
            raise ValueError(f"{file}: damaged, because its SHA-256 is not that of {INDEX_FILE}. {_REMEDY}")


def read_vectors(path: str, description: IndexDescription) -> np.ndarray:
    """Return the vectors of an index, [P, D], memory-mapped if the folder is local.

    Raises:
        ValueError: their number or size is not that of the description.
    """
    file = description.path_of(path, VECTORS)
    if "://" in file:
        vectors = np.load(io.BytesIO(files.read_bytes(file)), allow_pickle=False)
    else:
        vectors = np.load(file, mmap_mode="r", allow_pickle=False)
    expected = (description.count, len(description.model.probe))
    if vectors.shape != expected or vectors.dtype != description.dtype:
        raise ValueError(
            f"{file}: must hold {description.dtype} {list(expected)}, as {INDEX_FILE} says. "
            f"Received: {vectors.dtype} {list(vectors.shape)}"
        )
    return vectors


def read_passages(path: str, description: IndexDescription) -> list[dict[str, Any]]:
    """Return the JSON object of each passage.

    Raises:
        ValueError: their number is not that of the description.
    """
    file = description.path_of(path, PASSAGES)
    passages = [passage for _, passage in files.iterate_json_objects(file)]
    if len(passages) != description.count:
        raise ValueError(
            f"{file}: must hold {description.count} passages, as {INDEX_FILE} says. Received: {len(passages)}"
        )
    return passages
