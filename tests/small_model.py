"""Models, batches and runs of test size, made of the real classes."""

from pathlib import Path
from typing import Any

import numpy as np
from small_corpus import corpus_documents

from bert_tf.configs import BertConfig, FinetuningConfig, PretrainingConfig
from bert_tf.configs.multi_task import MemberConfig, MultiTaskConfig
from bert_tf.configs.tasks import (
    ClassificationConfig,
    MultiLabelConfig,
    MultipleChoiceConfig,
    QuestionAnsweringConfig,
    RegressionConfig,
    RerankingConfig,
    RetrievalConfig,
    Seq2SeqConfig,
    TaggingConfig,
)
from bert_tf.features import classification_batch, pretraining_batch
from bert_tf.models.weights import named_weights
from bert_tf.runs.descriptions import RunDescription
from bert_tf.tokenization.wordpiece import SPECIAL_TOKENS, WordPieceTokenizer

SMALL = BertConfig(
    vocab_size=40,
    hidden_size=16,
    num_layers=2,
    num_heads=4,
    intermediate_size=32,
    max_position_embeddings=32,
    dropout_rate=0.0,
    attention_dropout_rate=0.0,
)
LABELS = ("miller", "river", "sailor")
TAGS = ("B-PER", "B-LOC", "I-PER", "O")
RUN_LABELS = {"classification": LABELS, "multi_label": LABELS, "tagging": TAGS}
TASK_CONFIGS: dict[str, Any] = {
    "classification": ClassificationConfig(max_seq_length=24),
    "multi_label": MultiLabelConfig(max_seq_length=24),
    "regression": RegressionConfig(max_seq_length=24),
    "tagging": TaggingConfig(max_seq_length=12),
    "question_answering": QuestionAnsweringConfig(
        max_seq_length=24, max_query_length=6, doc_stride=8, n_best_size=5, max_answer_length=6
    ),
    "retrieval": RetrievalConfig(max_seq_length=24, max_query_length=12),
    "reranking": RerankingConfig(max_seq_length=24, group_size=2),
    "seq2seq": Seq2SeqConfig(max_seq_length=24, max_target_length=10),
    "multiple_choice": MultipleChoiceConfig(max_seq_length=24, max_choices=3),
}
"""A small task of each kind."""


def shake(model: Any, seed: int = 0, scale: float = 0.3) -> None:
    """Give every weight random values, biases and norms too, so that a wrong one shows in the output."""
    random = np.random.default_rng(seed)
    for name, weight in named_weights(model).items():
        centre = 1.0 if name.endswith("gamma") else 0.0
        weight.assign(centre + scale * random.standard_normal(tuple(weight.shape)))


def numpy_weights(model: Any) -> dict[str, np.ndarray]:
    return {name: np.asarray(weight.numpy(), np.float64) for name, weight in named_weights(model).items()}


def random_pretraining_batch(
    seed: int = 0, rows: int = 4, length: int = 12, predictions: int = 3, vocab_size: int = 40
) -> dict[str, np.ndarray]:
    """Return a `features.pretraining_batch` of rows of random lengths; some predictions have weight 0."""
    random = np.random.default_rng(seed)
    batch = {
        name: np.zeros([size or 0 for size in feature.shape], feature.dtype)
        for name, feature in pretraining_batch(rows, length, predictions).items()
    }
    lengths = random.integers(predictions + 3, length + 1, rows)
    for row, size in enumerate(lengths):
        batch["input_ids"][row, :size] = random.integers(5, vocab_size, size)
        batch["input_mask"][row, :size] = 1
        batch["segment_ids"][row, size // 2 : size] = 1
        count = int(random.integers(1, predictions + 1))
        batch["masked_lm_positions"][row, :count] = np.sort(random.choice(np.arange(1, size), count, replace=False))
        batch["masked_lm_ids"][row, :count] = random.integers(5, vocab_size, count)
        batch["masked_lm_weights"][row, :count] = 1.0
    batch["position_ids"][:] = np.arange(length)
    batch["next_sentence_labels"][:] = random.integers(0, 2, (rows, 1))
    batch["next_sentence_weights"][:] = 1.0
    return batch


def packed_pretraining_batch(
    seed: int = 0, rows: int = 4, length: int = 24, predictions: int = 6, vocab_size: int = 40
) -> dict[str, np.ndarray]:
    """Return a `features.pretraining_batch` of rows of one to three random sequences and padding."""
    random = np.random.default_rng(seed)
    batch = {
        name: np.zeros([size or 0 for size in feature.shape], feature.dtype)
        for name, feature in pretraining_batch(rows, length, predictions, max_sequences_per_row=3).items()
    }
    for row in range(rows):
        start = 0
        for number in range(row % 3 + 1):
            size = int(random.integers(4, length // 3 + 1))
            where = slice(start, start + size)
            batch["input_ids"][row, where] = random.integers(5, vocab_size, size)
            batch["input_mask"][row, where] = number + 1
            batch["segment_ids"][row, start + size // 2 : start + size] = 1
            batch["position_ids"][row, where] = np.arange(size)
            batch["masked_lm_positions"][row, number] = start + random.integers(1, size)
            batch["masked_lm_ids"][row, number] = random.integers(5, vocab_size)
            batch["masked_lm_weights"][row, number] = 1.0
            batch["next_sentence_positions"][row, number] = start
            batch["next_sentence_labels"][row, number] = random.integers(0, 2)
            batch["next_sentence_weights"][row, number] = 1.0
            start += size
    return batch


def random_classification_batch(seed: int = 0, rows: int = 4, length: int = 12, classes: int = 3) -> dict[str, Any]:
    random = np.random.default_rng(seed)
    base = random_pretraining_batch(seed, rows, length)
    batch = {name: base[name] for name in classification_batch(rows, length) if name in base}
    batch["label_ids"] = random.integers(0, classes, rows).astype(np.int32)
    batch["label_weights"] = np.ones(rows, np.float32)
    return batch


def write_vocab(path: Path) -> Path:
    """Write a vocabulary file with the words of `small_corpus` and every letter."""
    words = {word.strip(".").lower() for document in corpus_documents(60) for line in document for word in line.split()}
    letters = "abcdefghijklmnopqrstuvwxyz"
    tokens = [*SPECIAL_TOKENS, ".", *letters, *(f"##{letter}" for letter in letters), *sorted(words - set(letters))]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{token}\n" for token in tokens), encoding="utf-8")
    return path


def write_run(
    folder: Path, task: str, pairs: bool = False, seed: int = 0, options: dict[str, Any] | None = None, **changes: Any
) -> Path:
    """Write the folder of a run as training does, with random weights.

    Args:
        folder: the folder to make.
        task: `pretraining` or a key of `TASK_CONFIGS`.
        pairs: whether the task is on pairs of texts.
        seed: seed of the weights.
        options: changed fields of the task's configuration.
        **changes: changed fields of the encoder's configuration, which is `SMALL` with one layer.
    """
    tokenizer = WordPieceTokenizer(str(write_vocab(folder.parent / f"{folder.name}_vocab.txt")))
    model_config = SMALL.replace(**({"vocab_size": tokenizer.vocab_size, "num_layers": 1} | changes))
    if task == "pretraining":
        return _write_run(folder, tokenizer, task, PretrainingConfig(model=model_config), seed=seed, max_seq_length=24)
    pair = {"text_pair_column": "second"} if pairs else {}
    config = TASK_CONFIGS[task].replace(**pair, **(options or {}))
    experiment = FinetuningConfig(model=model_config, task=config)
    labels = RUN_LABELS.get(task, ())
    return _write_run(
        folder, tokenizer, task, experiment, seed=seed, labels=labels, max_seq_length=config.max_seq_length
    )


def write_multi_task_run(folder: Path, kinds: dict[str, str], seed: int = 0) -> Path:
    """Write the folder of a run of several tasks, keys of `TASK_CONFIGS` by name, as training does."""
    tokenizer = WordPieceTokenizer(str(write_vocab(folder.parent / f"{folder.name}_vocab.txt")))
    model_config = SMALL.replace(vocab_size=tokenizer.vocab_size, num_layers=1)
    config = MultiTaskConfig(tasks=tuple(MemberConfig(name, TASK_CONFIGS[kind]) for name, kind in kinds.items()))
    labels = tuple(f"{name}/{label}" for name, kind in kinds.items() for label in RUN_LABELS.get(kind, ()))
    experiment = FinetuningConfig(model=model_config, task=config)
    return _write_run(
        folder, tokenizer, config.kind, experiment, seed=seed, labels=labels, max_seq_length=config.max_seq_length
    )


def _write_run(
    folder: Path,
    tokenizer: WordPieceTokenizer,
    task: str,
    experiment: FinetuningConfig | PretrainingConfig,
    *,
    seed: int,
    max_seq_length: int,
    labels: tuple[str, ...] = (),
) -> Path:
    import keras

    from bert_tf.runs import checkpoints
    from bert_tf.runs import folder as run_folder

    description = RunDescription(
        task=task,
        model=experiment.model,
        do_lower_case=True,
        vocab_hash=tokenizer.vocab_hash,
        max_seq_length=max_seq_length,
        labels=labels,
        experiment=experiment.to_dict(),
        data={"train": "none"},
    )
    run_folder.claim(str(folder), description, tokenizer)
    keras.utils.set_random_seed(seed)
    model = run_folder.model_of(description)
    shake(model, seed)
    checkpoints.save(str(folder), 1, named_weights(model), keep=1)
    return folder
