"""The reader of sentences of tagged words, from CoNLL columns and JSON lines."""

from collections.abc import Iterator
from typing import Any

from bert_tf.configs.tasks import TaggingConfig
from bert_tf.examples import TaggedExample
from bert_tf.utils import files
from data_pipelines.finetuning import tables

CONLL_SUFFIXES = (".conll", ".conllu", ".bio", ".iob", ".txt")
"""The suffixes of files in CoNLL columns."""
_DOCUMENT_START = "-DOCSTART-"


def read_tagged(path: str, config: TaggingConfig, *, labelled: bool = True) -> list[TaggedExample]:
    r"""Return the sentences of a file.

    There are two formats:

    - CoNLL columns (`.conll`, `.conllu`, `.bio`, `.iob`, `.txt`). Each line holds a word and its tag, in columns that
      are separated by tabs or, in lines without tabs, by spaces. An empty line follows each sentence. A `-DOCSTART-`
      line starts the next group. Before the first word of a sentence, lines that start with `# ` and hold no tab are
      comments.
    - JSON lines (`.jsonl`). Each object is a sentence, with a list of words and a list of tags or of their numbers.

    Args:
        path: the file, local or remote, which may be compressed.
        config: the settings of the task, which name columns and fields.
        labelled: whether tags are read. If not, a CoNLL file needs one column only.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the suffix is none of these, rows differ in their number of columns, a word has no tag, or there is
            no sentence. The message names file and line.
    """
    suffix = tables.suffix_of(path)
    if suffix == ".jsonl":
        examples = sentences_of_rows(files.iterate_json_objects(path), config, labelled=labelled)
    elif suffix in CONLL_SUFFIXES:
        examples = list(_conll_examples(path, config, labelled))
    else:
        raise ValueError(
            f"`path` must name a file that ends in {', '.join((*CONLL_SUFFIXES, '.jsonl'))}. Received: {path!r}"
        )
    if not examples:
        raise ValueError(f"`path` must name a file with at least one sentence. Received: {path!r}")
    return examples


def _conll_examples(path: str, config: TaggingConfig, labelled: bool) -> Iterator[TaggedExample]:
    columns: int | None = None  # the number of columns in the first row of the file
    words: list[str] = []
    tags: list[str] = []
    start = 1
    document = 0

    def example() -> TaggedExample:
        group = str(document) if document else None
        return TaggedExample.from_words(words, tags if labelled else None, group=group, source=f"{path}, line {start}")

    for number, line in enumerate(files.iterate_lines(path), 1):
        if not line.strip():
            if words:
                yield example()
                words, tags = [], []
            continue
        if not words:
            start = number
            if line.startswith("# ") and "\t" not in line:
                continue
        fields = _fields(line, columns)
        if fields[0] == _DOCUMENT_START:
            document += 1
            continue
        source = f"{path}, line {number}"
        columns = columns or len(fields)
        if len(fields) != columns:
            raise ValueError(
                f"{source}: must have {columns} columns, like the first row. Received: {len(fields)}, {line!r}"
            )
        words.append(_column(fields, config.word_column, "word_column", source))
        if labelled:
            if columns < 2:
                raise ValueError(f"{source}: must have a word and a tag. Received: {line!r}")
            tag = _column(fields, config.tag_column, "tag_column", source)
            tags.append(tables.label_name(tag, config.labels, source=source, column="tags"))
    if words:
        yield example()


def _fields(line: str, columns: int | None) -> list[str]:
    """Return the fields of a row. A word that is a space, as in texts cut into characters, stays one."""
    fields = [field.strip() for field in line.split("\t" if "\t" in line else " ")]
    words = [field for field in fields if field]
    if len(words) + 1 != columns:
        return words
    if len(fields) == columns:  # separated by tabs, with one empty
        return [field or " " for field in fields]
    return words if fields[0] else [" ", *words]


def _column(fields: list[str], number: int, name: str, source: str) -> str:
    """Return the field of the column that the setting `task.{name}` numbers."""
    if not -len(fields) <= number < len(fields):
        raise ValueError(
            f"{source}: `task.{name}` must be one of the {len(fields)} columns, counted from 0, or from -1 backwards. "
            f"Received: {number}"
        )
    return fields[number]


def sentences_of_rows(rows: tables.TableRows, config: TaggingConfig, *, labelled: bool = True) -> list[TaggedExample]:
    """Return the sentences of rows with fields as JSON lines have them (`read_tagged`).

    Args:
        rows: each row with its source, for messages.
        config: the settings of the task, which name the fields.
        labelled: whether tags are read.

    Raises:
        ValueError: a field is missing or of another type, or a word has no tag. The message names the source.
    """
    examples = []
    for source, row in rows:
        words = _texts(row, config.words_field, source)
        if not words:
            raise ValueError(f"{source}, field {config.words_field!r}: must not be empty. Received: []")
        tags = _tags(row, config, source) if labelled else None
        if tags is not None and len(tags) != len(words):
            raise ValueError(f"{source}: must have a tag for each word. Received: {len(words)} words, {len(tags)} tags")
        group = None if config.group_field is None else tables.text_field(row, config.group_field, source)
        examples.append(TaggedExample.from_words(words, tags, group=group, source=source))
    return examples


def _tags(row: dict[str, Any], config: TaggingConfig, source: str) -> list[str]:
    values = tables.field(row, config.tags_field, source)
    if not isinstance(values, list):
        raise ValueError(f"{source}, field {config.tags_field!r}: must be a list of tags. Received: {values!r}")
    return [tables.label_name(value, config.labels, source=source, column=config.tags_field) for value in values]


def _texts(row: dict[str, Any], name: str, source: str) -> list[str]:
    values = tables.field(row, name, source)
    if not isinstance(values, list) or not all(isinstance(value, str) and value for value in values):
        raise ValueError(f"{source}, field {name!r}: must be a list of texts that are not empty. Received: {values!r}")
    return values
