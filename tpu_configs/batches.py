"""The batch of the step that the check compiles."""

from bert_tf.configs import PretrainingConfig
from bert_tf.features import Feature, predictions_per_row, pretraining_batch


def pretraining_features(
    config: PretrainingConfig, rows: int, max_seq_length: int, *, sequences: int = 1
) -> dict[str, Feature]:
    """Return the names, shapes and dtypes of a batch of an experiment.

    Args:
        config: the experiment.
        rows: the number of rows in the batch.
        max_seq_length: L.
        sequences: K, the largest number of sequences in a row; 1 for rows that are not packed.
    """
    predictions = predictions_in(config, max_seq_length)
    ordered = not config.mixture.is_bidirectional
    return pretraining_batch(rows, max_seq_length, predictions, max_sequences_per_row=sequences, ordered=ordered)


def predictions_in(config: PretrainingConfig, max_seq_length: int) -> int:
    """Return P, the number of predictions in a row of this length."""
    masking = config.masking
    return masking.max_predictions_per_seq or predictions_per_row(masking.masked_lm_rate, max_seq_length)
