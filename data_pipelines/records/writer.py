"""The writer of record folders, which keeps the finished shards of an interrupted run.

Beside the record files of an input shard, it writes a journal entry, `shard-00000.finished.json`. The entry holds a
fingerprint of the settings and documents that the shard was made from, and the shard's part of the manifest. A run that
finds entries keeps the shards whose fingerprint equals that of its own shard and whose files have the right checksums,
and builds the others. The entries are removed once the manifests are written.
"""

import dataclasses
import io
import os
import re
from typing import Any

import numpy as np

from bert_tf.tokenization.wordpiece import WordPieceTokenizer
from bert_tf.utils import files, json_text
from data_pipelines.records.manifest import (
    MANIFEST_FILE,
    TOKEN_COUNTS_FILE,
    VOCABULARY_FILE,
    BuiltShard,
    Manifest,
    PreparationConfig,
    ShardInfo,
    Statistics,
    record_settings,
)
from data_pipelines.records.segmentation import NO_SEGMENTER, Segmenter

_SHARD_FILE = re.compile(r"shard-\d+(-\d+\.tfrecord|\.finished\.json)")
# The temporary files that a killed process leaves (`files.written_whole`, `files.require_writable_folder`).
_TEMPORARY = re.compile(
    r"(shard-.*|vocab\.txt|token_counts\.npy|manifest\.json)\.tmp-[0-9a-f]{8}|\.writable-[0-9a-f]{8}"
)
_ENTRY = re.compile(r"shard-(\d+)\.finished\.json")


@dataclasses.dataclass(frozen=True, kw_only=True)
class FinishedShard:
    """The journal's entry of one input shard whose record files are written.

    Attributes:
        made_from: the fingerprint of the settings and documents that the shard was made from.
        shard_files: the record files of the shard.
        token_counts: int64 [V], how often each token occurs in the record files.
        counts: as in `BuiltShard`.
        input_bytes: the size of the shard's text.
    """

    made_from: str
    shard_files: tuple[ShardInfo, ...]
    token_counts: np.ndarray
    counts: dict[str, int]
    input_bytes: int

    def to_dict(self) -> dict[str, Any]:
        """Return the entry as values of JSON."""
        return {
            "made_from": self.made_from,
            "shard_files": [info.to_dict() for info in self.shard_files],
            "token_counts": self.token_counts.tolist(),
            "counts": self.counts,
            "input_bytes": self.input_bytes,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "FinishedShard":
        """Return the entry of which `values` are the result of `to_dict`.

        Raises:
            KeyError, TypeError, ValueError: another version wrote the values.
        """
        return cls(
            made_from=values["made_from"],
            shard_files=tuple(ShardInfo.from_dict(info) for info in values["shard_files"]),
            token_counts=np.array(values["token_counts"], np.int64),
            counts=values["counts"],
            input_bytes=values["input_bytes"],
        )


def write_shard(
    folder: str, number: int, built: BuiltShard, *, made_from: str, settings: dict[str, Any]
) -> FinishedShard:
    """Write the record files of an input shard, then its journal entry.

    Raises:
        OSError: a file cannot be written.
    """
    for info, contents in built.shard_files:
        files.write_bytes(os.path.join(folder, info.file_name), contents)
    finished = FinishedShard(
        made_from=made_from,
        shard_files=tuple(info for info, _ in built.shard_files),
        token_counts=built.token_counts,
        counts=built.counts,
        input_bytes=built.input_bytes,
    )
    files.write_text(_entry_path(folder, number), json_text.dumps({"settings": settings} | finished.to_dict()))
    return finished


def read_entry(folder: str, number: int) -> FinishedShard | None:
    """Return the journal's entry of input shard `number`, or None if it is missing or cannot be read."""
    values = _read_entry(_entry_path(folder, number))
    if values is None:
        return None
    try:
        return FinishedShard.from_dict(values)
    except (KeyError, TypeError, ValueError):  # written by another version
        return None


def finished_shard(folder: str, number: int) -> FinishedShard | None:
    """Return input shard `number` if it is finished and its record files are not damaged, or None."""
    finished = read_entry(folder, number)
    return finished if finished and _record_files_are_whole(folder, finished) else None


def forget_shard(folder: str, number: int) -> None:
    """Remove the journal entry of an input shard that will be built again."""
    files.remove(_entry_path(folder, number))


def _record_files_are_whole(folder: str, finished: FinishedShard) -> bool:
    """Return whether files have their checksums. After a power failure, a file may have its length but no contents."""
    for info in finished.shard_files:
        path = os.path.join(folder, info.file_name)
        if not files.exists(path) or files.sha256(path) != info.sha256:
            return False
    return True


def entry_numbers(folder: str) -> set[int]:
    """Return the numbers of the input shards that have a journal entry."""
    found = (_ENTRY.fullmatch(os.path.basename(path)) for path in _shard_paths(folder))
    return {int(match[1]) for match in found if match}


def _entry_path(folder: str, number: int) -> str:
    return os.path.join(folder, f"shard-{number:05d}.finished.json")


def _read_entry(path: str) -> dict[str, Any] | None:
    try:
        values = files.read_json(path)
    except (FileNotFoundError, ValueError):
        return None
    return values if isinstance(values, dict) and isinstance(values.get("settings"), dict) else None


class RecordFolderWriter:
    """The writer of a record folder, which writes shard by shard and the manifest last.

    Args:
        folder: the folder to write, which is made if it is missing.
        config: the settings that the records are made with.
        tokenizer: the tokenizer of the vocabulary.
        overwrite: whether a complete record folder, or the shards of an interrupted run with other settings, may be
            replaced.
        segmenter: the segmenter whose words the records hold; None for none.

    Raises:
        ValueError: the folder holds such records, and `overwrite` is false.
        OSError: the folder cannot be written to.
    """

    def __init__(
        self,
        folder: str,
        config: PreparationConfig,
        tokenizer: WordPieceTokenizer,
        *,
        overwrite: bool = False,
        segmenter: Segmenter | None = None,
    ) -> None:
        self.folder = folder
        self._config = config
        self._tokenizer = tokenizer
        self._settings = record_settings(config, tokenizer, segmenter)
        self._shards: list[ShardInfo] = []
        self._token_counts = np.zeros(tokenizer.vocab_size, np.int64)
        self._counts: dict[str, int] = {}
        if not overwrite and (existing := _existing_settings(folder)) is not None:
            what, settings = existing
            difference = self._difference(settings)
            if what == "complete records" or difference:
                raise ValueError(
                    f"`folder` must be a new folder, unless `overwrite` replaces it: it holds {what} with "
                    f"{f'other settings ({difference})' if difference else 'the same settings'}. Received: {folder!r}"
                )
        files.require_writable_folder(folder)
        self._entries = self._prepare_folder()

    def _difference(self, settings: dict[str, Any]) -> str:
        """Return the existing folder's settings that differ from the new ones, as text."""
        # What folders do not say (`record_settings`).
        unsaid = {"deduplicate": "none", "segmenter": NO_SEGMENTER, "segmenter_version": ""}
        wanted, settings = unsaid | self._settings, unsaid | settings
        return ", ".join(f"{name}={settings.get(name)!r}" for name in wanted if settings.get(name) != wanted[name])

    def _prepare_folder(self) -> set[int]:
        """Remove the manifest and all that cannot be kept, and return the numbers of the journal's entries."""
        files.remove(os.path.join(self.folder, MANIFEST_FILE))
        for name in files.names_in_folder(self.folder):
            if _TEMPORARY.fullmatch(name):
                files.remove(os.path.join(self.folder, name))
        existing = _existing_settings(self.folder)
        if existing is None or self._difference(existing[1]):
            remove_records(self.folder)
            return set()
        return entry_numbers(self.folder)

    def finished(self, number: int) -> FinishedShard | None:
        """Return input shard `number` of an interrupted run, or None if it is not finished or its files are damaged."""
        return finished_shard(self.folder, number) if number in self._entries else None

    def write(self, number: int, built: BuiltShard, made_from: str) -> None:
        """Write input shard `number` and its journal entry.

        Raises:
            OSError: a file cannot be written.
        """
        self.keep(write_shard(self.folder, number, built, made_from=made_from, settings=self._settings))

    def keep(self, finished: FinishedShard) -> None:
        """Add an input shard, whose files exist, to the manifest. Shards are added in the order of their numbers."""
        self._shards += finished.shard_files
        self._token_counts += finished.token_counts
        for name, count in finished.counts.items():
            self._counts[name] = self._counts.get(name, 0) + count

    def finish(self) -> Manifest:
        """Write vocabulary, token counts and manifest, in this order, which completes the folder.

        Raises:
            ValueError: there is no record.
            OSError: a file cannot be written.
        """
        statistics = self._statistics()
        if not statistics.records:
            raise ValueError(
                "the documents must give at least one record. Received: "
                f"{statistics.documents} documents with {statistics.tokens} tokens"
            )
        manifest = Manifest(**self._settings, statistics=statistics, shards=tuple(self._shards))
        own = {shard.file_name for shard in self._shards}
        for path in _shard_paths(self.folder):  # an interrupted run may have had more documents
            if path.endswith(".tfrecord") and os.path.basename(path) not in own:
                files.remove(path)
        files.write_text(os.path.join(self.folder, VOCABULARY_FILE), "\n".join(self._tokenizer.tokens) + "\n")
        buffer = io.BytesIO()
        np.save(buffer, self._token_counts)
        files.write_bytes(os.path.join(self.folder, TOKEN_COUNTS_FILE), buffer.getvalue())
        files.write_json(os.path.join(self.folder, MANIFEST_FILE), manifest.to_dict())
        return manifest

    def remove_journal(self) -> None:
        """Remove the journal's entries, which a complete folder does not need."""
        for number in sorted(entry_numbers(self.folder)):
            files.remove(_entry_path(self.folder, number))

    def _statistics(self) -> Statistics:
        def count(name: str) -> int:
            return self._counts.get(name, 0)

        def share(part: int, whole: int) -> float:
            return round(part / whole, 6) if whole else 0.0

        records = sum(shard.records for shard in self._shards)
        tokens = sum(shard.tokens for shard in self._shards)
        return Statistics(
            documents=count("documents"),
            sentences=count("sentences"),
            tokens=count("tokens"),
            examples=count("examples"),
            records=records,
            random_next_share=share(count("random_next"), count("labelled")),
            unknown_share=share(count("unknown"), count("tokens")),
            row_fill=share(tokens, records * self._config.max_seq_length),
            used_share=share(count("used"), count("tokens")) if "used" in self._counts else None,
            expected_masked_share=share(count("predicted"), tokens) if "predicted" in self._counts else None,
        )


def _existing_settings(folder: str) -> tuple[str, dict[str, Any]] | None:
    """Return what a folder holds, as text, and its settings, or None if there is nothing to lose."""
    manifest = os.path.join(folder, MANIFEST_FILE)
    if files.exists(manifest):
        values = files.read_json(manifest)
        return "complete records", values if isinstance(values, dict) else {}
    for number in sorted(entry_numbers(folder)):
        entry = _read_entry(_entry_path(folder, number))
        if entry is not None:  # all entries of a folder have the same settings
            return "shards of an interrupted run", entry["settings"]
    return None


def _shard_paths(folder: str) -> list[str]:
    """Return the paths of record files and journal entries."""
    return [os.path.join(folder, name) for name in files.names_in_folder(folder) if _SHARD_FILE.fullmatch(name)]


def remove_records(folder: str) -> None:
    """Remove the manifest first, then the shards and the journal of a record folder, and nothing else.

    Raises:
        OSError: a file cannot be removed.
    """
    files.remove(os.path.join(folder, MANIFEST_FILE))
    for path in _shard_paths(folder):
        files.remove(path)
