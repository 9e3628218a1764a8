"""SavedModels that take raw strings: tokenization, model and answer in one graph, for TF Serving.

```
model_dir/export/<version>/  saved_model.pb  variables/  assets/vocab.txt config.json [labels.txt]
```

Signatures: `serving_default` takes UTF-8 strings, `token_ids` the encoder's inputs. The graph uses operations of
TensorFlow and TensorFlow Text only, which a stock TF Serving has.
"""

import json
import os
import uuid
from typing import Any

import tensorflow as tf

from bert_tf import files
from bert_tf.models.weights import named_weights
from bert_tf.serving.graph_tokenizer import GraphTokenizer
from bert_tf.tokenization import WordPieceTokenizer
from bert_tf.training import model_dir
from bert_tf.training.model_dir import RunDescription

TOP_K = 5
"""Pieces that the masked-LM export answers for each `[MASK]`."""

_STRINGS = tf.TensorSpec([None], tf.string)
_IDS = tf.TensorSpec([None, None], tf.int32)
Tensors = dict[str, tf.Tensor]


class _Served(tf.Module):
    """What every export holds: tokenizer and model."""

    def __init__(self, model: Any, description: RunDescription, tokenizer: WordPieceTokenizer) -> None:
        super().__init__(name="served")
        # The graph needs the weights; a Keras model in a tf.Module would be saved, and traced, on its own as well.
        self.weights = [variable.value for variable in named_weights(model).values()]
        self.forward = lambda inputs: model(inputs, training=False)
        self.max_seq_length = description.max_seq_length
        self.graph_tokenizer = GraphTokenizer(tokenizer)

    def rows(self, texts: tf.Tensor, pairs: tf.Tensor | None = None, parse_mask: bool = False) -> Tensors:
        """The encoder's inputs for raw strings, padded to the longest row of the batch."""
        first = self.graph_tokenizer.tokenize(texts, parse_mask=parse_mask)
        second = None if pairs is None else self.graph_tokenizer.tokenize(pairs)
        lengths = first.row_lengths() if second is None else first.row_lengths() + second.row_lengths() + 1
        longest = tf.cast(tf.reduce_max(tf.concat([lengths, [1]], axis=0)), tf.int32) + 2
        return self.graph_tokenizer.pack_rows(first, second, tf.minimum(longest, self.max_seq_length))


class _ServedClassifier(_Served):
    def __init__(self, model: Any, description: RunDescription, tokenizer: WordPieceTokenizer) -> None:
        super().__init__(model, description, tokenizer)
        self.labels = tf.constant(description.labels)
        self.takes_pairs = description.experiment["task"]["text_pair_column"] is not None

    def answer(self, inputs: Tensors) -> Tensors:
        logits = self.forward(inputs)
        return {
            "label": tf.gather(self.labels, tf.argmax(logits, axis=-1)),
            "probabilities": tf.nn.softmax(logits, axis=-1),
            "logits": logits,
        }

    def signatures(self) -> dict[str, Any]:
        if self.takes_pairs:

            @tf.function(input_signature=[_named(_STRINGS, "text"), _named(_STRINGS, "text_pair")])
            def serving_default(text: tf.Tensor, text_pair: tf.Tensor) -> Tensors:
                return self.answer(self.rows(text, text_pair))
        else:

            @tf.function(input_signature=[_named(_STRINGS, "text")])
            def serving_default(text: tf.Tensor) -> Tensors:
                return self.answer(self.rows(text))

        @tf.function(input_signature=[_named(_IDS, name) for name in ("input_ids", "input_mask", "segment_ids")])
        def token_ids(input_ids: tf.Tensor, input_mask: tf.Tensor, segment_ids: tf.Tensor) -> Tensors:
            return self.answer({"input_ids": input_ids, "input_mask": input_mask, "segment_ids": segment_ids})

        return {"serving_default": serving_default, "token_ids": token_ids}


class _ServedMaskedLM(_Served):
    def __init__(self, model: Any, description: RunDescription, tokenizer: WordPieceTokenizer) -> None:
        super().__init__(model, description, tokenizer)
        self.pieces = tf.constant(tokenizer.tokens)
        self.mask_id = tokenizer.mask_id

    def signatures(self) -> dict[str, Any]:
        @tf.function(input_signature=[_named(_STRINGS, "text")])
        def serving_default(text: tf.Tensor) -> Tensors:
            inputs = self.rows(text, parse_mask=True)
            is_mask = inputs["input_ids"] == self.mask_id
            positions = tf.ragged.boolean_mask(
                tf.broadcast_to(tf.range(tf.shape(is_mask)[1]), tf.shape(is_mask)), is_mask
            )
            outputs = self.forward(inputs | {"masked_lm_positions": positions.to_tensor()})
            top = tf.math.top_k(tf.nn.softmax(outputs["masked_lm_logits"], axis=-1), k=TOP_K)
            return {
                "pieces": tf.gather(self.pieces, top.indices),
                "probabilities": top.values,
                "num_masks": tf.cast(positions.row_lengths(), tf.int32),
            }

        names = ("input_ids", "input_mask", "segment_ids", "masked_lm_positions")

        @tf.function(input_signature=[_named(_IDS, name) for name in names])
        def token_ids(
            input_ids: tf.Tensor, input_mask: tf.Tensor, segment_ids: tf.Tensor, masked_lm_positions: tf.Tensor
        ) -> Tensors:
            inputs = {
                "input_ids": input_ids,
                "input_mask": input_mask,
                "segment_ids": segment_ids,
                "masked_lm_positions": masked_lm_positions,
            }
            return self.forward(inputs)

        return {"serving_default": serving_default, "token_ids": token_ids}


_SERVED: dict[str, type[_ServedMaskedLM | _ServedClassifier]] = {
    "pretraining": _ServedMaskedLM,
    "classification": _ServedClassifier,
}


def _named(spec: tf.TensorSpec, name: str) -> tf.TensorSpec:
    return tf.TensorSpec(spec.shape, spec.dtype, name)


def export_saved_model(run_dir: str, export_dir: str | None = None) -> str:
    """Export the newest checkpoint of a run as the next version of a SavedModel.

    `serving_default` of a classifier: `text` string [B] (and `text_pair`) -> `label` string [B], `probabilities`,
    `logits` float32 [B, C]. Of a pre-trained model: `text` string [B] with `[MASK]`s -> `pieces` string and
    `probabilities` float32 [B, masks, 5], likeliest first, and `num_masks` int32 [B]: a text with fewer masks than
    another has meaningless answers behind its own. Texts longer than the model's length are cut as in training.

    Args:
        run_dir: the run's folder.
        export_dir: folder of the versions; None: `export` in the run's folder.

    Returns:
        The folder of the new version, `export_dir/<number>`, complete.

    Raises:
        FileNotFoundError: it is no folder of a run, or has no complete checkpoint.
        ValueError: its task has no export.
        ImportError: TensorFlow Text is not installed.
    """
    model, description, tokenizer = model_dir.load_model(run_dir)
    export_dir = export_dir or os.path.join(run_dir, "export")
    files.require_writable_folder(export_dir, "--export_dir")
    if description.task not in _SERVED:
        raise ValueError(
            f"--model_dir must hold a model for one of {', '.join(_SERVED)}: only those are exported. "
            f"Received: {run_dir!r}, for {description.task}"
        )
    kind = _SERVED[description.task]
    module = kind(model, description, tokenizer)
    versions = [int(name.rstrip("/")) for name in tf.io.gfile.listdir(export_dir) if name.rstrip("/").isdigit()]
    path = os.path.join(export_dir, str(max(versions, default=0) + 1))
    # TF Serving takes folders with numbers for names as they appear: it must appear whole.
    temporary = os.path.join(export_dir, f"tmp-{uuid.uuid4().hex[:8]}")
    # With config.json, `bert_tf.load` reads an export as it reads a run.
    described = (json.dumps(description.to_dict(), ensure_ascii=False),)
    assets = {"vocab.txt": tokenizer.tokens, "labels.txt": description.labels, "config.json": described}
    try:
        for name, lines in assets.items():
            if lines:
                files.write_text(os.path.join(temporary, "assets.tmp", name), "".join(f"{line}\n" for line in lines))
                setattr(
                    module, name.replace(".", "_"), tf.saved_model.Asset(os.path.join(temporary, "assets.tmp", name))
                )
        tf.saved_model.save(module, os.path.join(temporary, "model"), signatures=module.signatures())
        tf.io.gfile.rename(os.path.join(temporary, "model"), path)
    finally:
        if files.exists(temporary):
            tf.io.gfile.rmtree(temporary)
    return path
