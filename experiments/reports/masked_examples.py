"""The masked tokens of held-out records, with the guesses of a pre-trained model."""

from typing import Any

import numpy as np

from bert_tf.configs import PretrainingConfig
from bert_tf.runs.folder import load_run, read_run
from bert_tf.utils.arguments import renamed
from bert_tf.utils.ideographs import is_ideograph
from data_pipelines.input.record_folder import RecordFolder

NUM_GUESSES = 5


def masked_examples(run_dir: str, records: str, count: int) -> list[dict[str, Any]]:
    """Return the first rows of a record folder with the masks of an evaluation.

    Args:
        run_dir: the folder of a pre-training.
        records: the record folder of held-out documents.
        count: number of rows.

    Returns:
        Dictionaries of `parts`, the row's text: [text, index of the prediction or None]; and `predictions`: `token`,
        `shown` (what the model read in its place), `probability` (of the token) and `guesses`, [token, probability].

    Raises:
        FileNotFoundError: the records, the run or its checkpoint are missing.
        ValueError: the records have another vocabulary, or are longer than the model's rows.
    """
    from bert_tf.models.pretrainer import BertPretrainer

    description, tokenizer = read_run(run_dir)
    config = description.config()
    assert isinstance(config, PretrainingConfig)
    with renamed(path="records"):
        folder = RecordFolder(records, tokenizer=tokenizer)
    description.model.check_fits(tokenizer.vocab_size, folder.max_seq_length)
    model, _, _ = load_run(run_dir)
    data = folder.evaluation_dataset(config.eval_masking, count, mixture=config.eval_mixture)
    with folder.naming_bad_records():
        batch = next(iter(data.as_numpy_iterator()))
    logits = model(batch)["masked_lm_logits"]
    top = BertPretrainer.likeliest_tokens(logits, tokenizer.vocab_size, min(NUM_GUESSES, tokenizer.vocab_size))
    probabilities, guesses = map(np.asarray, top)
    of_tokens = np.exp(np.asarray(BertPretrainer.log_probabilities_of(logits, batch["masked_lm_ids"])))
    rows = []
    for row, ids in enumerate(batch["input_ids"]):
        chosen = np.flatnonzero(batch["masked_lm_weights"][row])
        positions = batch["masked_lm_positions"][row][chosen].tolist()
        if not positions:
            continue  # a row that fills the last batch
        predictions = [
            {
                "token": tokenizer.tokens[batch["masked_lm_ids"][row, number]],
                "shown": tokenizer.tokens[ids[position]],
                "probability": float(of_tokens[row, number]),
                "guesses": [
                    [tokenizer.tokens[token], float(probability)]
                    for token, probability in zip(guesses[row, number], probabilities[row, number], strict=True)
                ],
            }
            for number, position in zip(chosen, positions, strict=True)
        ]
        length = int(np.count_nonzero(batch["input_mask"][row]))
        places = {position: number for number, position in enumerate(positions)}
        tokens = [
            predictions[places[place]]["token"] if place in places else tokenizer.tokens[index]
            for place, index in enumerate(ids[:length])
        ]
        rows.append({"parts": _parts(tokens, places), "predictions": predictions})
    return rows


def _parts(tokens: list[str], places: dict[int, int]) -> list[list[Any]]:
    """Return the text of tokens in parts, with spaces between words but not between two ideographs."""
    parts: list[list[Any]] = []
    before = ""
    for place, token in enumerate(tokens):
        word = token[2:] if token.startswith("##") and len(token) > 2 else token
        joined = word != token or not before or (is_ideograph(before[-1]) and is_ideograph(word[0]))
        if not joined:
            parts.append([" ", None])
        parts.append([word, places.get(place)])
        before = word
    # Neighbouring parts without a prediction become one.
    found: list[list[Any]] = []
    for text, number in parts:
        if number is None and found and found[-1][1] is None:
            found[-1][0] += text
        else:
            found.append([text, number])
    return found
