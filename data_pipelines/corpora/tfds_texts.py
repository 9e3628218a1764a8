"""The texts of a data set of TensorFlow Datasets (TFDS), in their order on disk."""

from collections.abc import Iterator
from typing import Any

from absl import logging


def tfds_texts(
    name: str, *, text_field: str, tfds_split: str, tfds_dir: str | None, skip_unreadable: bool = False
) -> Iterator[str]:
    """Return the texts of one field of a data set, which is downloaded and prepared unless it is on disk.

    Args:
        name: `NAME`, `NAME/CONFIG` or `NAME/CONFIG:VERSION`, as TFDS writes it.
        text_field: the feature that holds the text.
        tfds_split: `train`, or any other expression of TFDS, such as `train[:10%]+test`.
        tfds_dir: the folder of prepared data sets; None for TFDS's own default, `~/tensorflow_datasets`.
        skip_unreadable: whether texts that are not UTF-8 are left out, and counted in a warning at the end.

    Returns:
        An iterator over the texts.

    Raises:
        ValueError: TFDS is not installed, has no such data set, split or field, or the field holds no text. The
            iterator raises it for a text that is not UTF-8.
        OSError: the data set cannot be downloaded.
    """
    received = f"Received: 'tfds:{name}'"
    try:
        import tensorflow_datasets as tfds
    except ImportError:
        raise ValueError(
            f"`patterns` with tfds:NAME needs TensorFlow Datasets: pip install 'bert_tf[tfds]'. {received}"
        ) from None
    try:
        # Google's copies of prepared data sets are not tried, because that waits long without a network.
        builder = tfds.builder(name, data_dir=tfds_dir, try_gcs=False)
    except (ValueError, RuntimeError) as error:  # DatasetNotFoundError is a ValueError
        raise ValueError(
            "`patterns` with tfds:NAME must name a data set that TensorFlow Datasets knows, or one in `tfds_dir` "
            f"({_first_line(error)}). {received}"
        ) from None
    if not builder.is_prepared():
        builder.download_and_prepare()
    features = builder.info.features
    names = sorted(features) if hasattr(features, "keys") else []
    if text_field not in names:
        raise ValueError(
            f"`text_field` must be a field of tfds:{name}, which has {', '.join(names) or 'no fields'}. "
            f"Received: {text_field!r}"
        )
    feature = features[text_field]
    if feature.shape != () or feature.tf_dtype.name != "string":
        raise ValueError(f"`text_field` must hold text, but in tfds:{name} it is {feature}. Received: {text_field!r}")
    try:
        # Files are read one after the other, so that the order is the same on every machine.
        examples = builder.as_dataset(
            split=tfds_split,
            shuffle_files=False,
            decoders=tfds.decode.PartialDecoding({text_field: True}),
            read_config=tfds.ReadConfig(interleave_cycle_length=1),
        )
    except ValueError as error:
        raise ValueError(
            f"`tfds_split` must be a split of tfds:{name} ({_first_line(error)}). Received: {tfds_split!r}"
        ) from None
    return _texts(examples, text_field, f"tfds:{name}, split {tfds_split}", skip_unreadable)


def _texts(examples: Any, text_field: str, source: str, skip_unreadable: bool) -> Iterator[str]:
    skipped = 0
    for number, example in enumerate(examples.as_numpy_iterator()):
        try:
            yield example[text_field].decode("utf-8")
        except UnicodeDecodeError as error:
            if skip_unreadable:
                skipped += 1
                continue
            byte = example[text_field][error.start]
            raise ValueError(f"{source}, example {number}: {text_field!r} is not UTF-8 (byte 0x{byte:02x})") from None
    if skipped:
        logging.warning("%s: left out %d texts that are not UTF-8", source, skipped)


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
