"""SavedModels that take raw strings: tokenization, model and answer in one graph, for TF Serving.

```
model_dir/export/<version>/  saved_model.pb  variables/  assets/vocab.txt config.json [labels.txt]
                             assets.extra/tf_serving_warmup_requests  MODEL_CARD.md
```

Signatures: `serving_default` takes UTF-8 strings, `token_ids` the encoder's inputs, `examples` serialized
`tf.train.Example`s. The graph uses operations of TensorFlow and TensorFlow Text only, which a stock TF Serving has.
"""

import json
import os
import uuid
from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from bert_tf import files
from bert_tf.models.weights import named_weights
from bert_tf.serving import model_card
from bert_tf.serving.options import ExportOptions
from bert_tf.serving.served import Served
from bert_tf.serving.served_answers import ServedQuestionAnswerer
from bert_tf.serving.served_masks import ServedEncoder, ServedMaskedLM
from bert_tf.serving.served_tags import ServedTagger
from bert_tf.serving.served_texts import ServedClassifier, ServedMultiLabelClassifier, ServedRegressor
from bert_tf.serving.sources import read_model
from bert_tf.serving.warmup import write_requests
from bert_tf.tokenization import WordPieceTokenizer

SERVED: dict[str, type[Served]] = {
    "encoder": ServedEncoder,
    "pretraining": ServedMaskedLM,
    "classification": ServedClassifier,
    "multi_label": ServedMultiLabelClassifier,
    "regression": ServedRegressor,
    "tagging": ServedTagger,
    "question_answering": ServedQuestionAnswerer,
}
"""Task -> its export; what the signatures answer stands in the classes' docstrings."""


def export_saved_model(
    path: str,
    export_dir: str | None = None,
    options: ExportOptions | None = None,
    license_name: str | None = None,
) -> str:
    """Export a trained or published model as the next version of a SavedModel.

    `serving_default` takes `text` string [B]; of pairs `text` and `text_pair`; of question answering `question` and
    `context`. Its outputs are those of the task's class in `SERVED`. Any number of texts of any length may be asked;
    longer ones are cut, or windowed, as in training.

    Args:
        path: whatever `bert_tf.load` takes, but for an export: a run's folder, or published weights.
        export_dir: folder of the versions; None: `export` in the run's folder.
        options: None for the defaults.
        license_name: of the weights, for the model card; None: as the folder of the weights says, where it does.

    Returns:
        The folder of the new version, `export_dir/<number>`, complete.

    Raises:
        FileNotFoundError: there is no such model, or no complete checkpoint.
        ValueError: it is an export itself, or an option does not fit it.
        ImportError: TensorFlow Text is not installed.
    """
    options = options or ExportOptions()
    model, description, tokenizer = read_model(path, "--model_dir")
    if not isinstance(model, keras.Model):
        raise ValueError(f"--model_dir must hold trained or published weights, not an export. Received: {path!r}")
    if export_dir is None and not tf.io.gfile.isdir(path):
        raise ValueError(f"--export_dir must be given where --model_dir is no folder. Received: {path!r}")
    export_dir = export_dir or os.path.join(path, "export")
    files.require_writable_folder(export_dir, "--export_dir")
    module = SERVED[description.task](_in_precision(model, options.precision), description, tokenizer, options)
    license_name = license_name or model_card.weights_license(path, description.data.get("init_checkpoint"))
    details = {
        "precision": options.precision,
        "compiled by XLA": "yes" if options.jit_compile or options.fixed_batch_size else "no",
        "rows at a time": options.fixed_batch_size or "any number",
    }
    page = model_card.card(description, path, license_name, model_card.run_metrics(path), details)
    # With config.json, `bert_tf.load` reads an export as it reads a run.
    assets = {
        "vocab.txt": "".join(f"{token}\n" for token in tokenizer.tokens),
        "labels.txt": "".join(f"{label}\n" for label in description.labels),
        "config.json": json.dumps(description.to_dict(), ensure_ascii=False) + "\n",
    }
    return save_version(module, export_dir, {name: text for name, text in assets.items() if text}, page, tokenizer)


def save_version(
    module: Served, export_dir: str, assets: Mapping[str, str], page: str, tokenizer: WordPieceTokenizer
) -> str:
    """Save the next version, with assets, warm-up requests and model card; it appears whole.

    Args:
        module: what is exported.
        export_dir: folder of the versions.
        assets: texts by the names of their files.
        page: the model card.
        tokenizer: for the texts of the warm-up requests.

    Returns:
        The folder of the new version.
    """
    versions = [int(name.rstrip("/")) for name in tf.io.gfile.listdir(export_dir) if name.rstrip("/").isdigit()]
    path = os.path.join(export_dir, str(max(versions, default=0) + 1))
    # TF Serving takes folders with numbers for names as they appear: it must appear whole.
    temporary = os.path.join(export_dir, f"tmp-{uuid.uuid4().hex[:8]}")
    folder = os.path.join(temporary, "model")
    try:
        for name, text in assets.items():
            asset = os.path.join(temporary, "assets.tmp", name)
            files.write_text(asset, text)
            setattr(module, name.replace(".", "_"), tf.saved_model.Asset(asset))
        tf.saved_model.save(module, folder, signatures=module.signatures())
        if module.examples_method != "predict":
            _name_method(folder, "examples", f"tensorflow/serving/{module.examples_method}")
        word = next(token for token in tokenizer.tokens if token.isascii() and token.isalnum())
        write_requests(
            folder, module.text_inputs, module.examples_method, word, module.bucket_lengths, module.needs_mask
        )
        files.write_text(os.path.join(folder, model_card.CARD_FILE), page)
        tf.io.gfile.rename(folder, path)
    finally:
        if files.exists(temporary):
            tf.io.gfile.rmtree(temporary)
    return path


def _name_method(folder: str, signature: str, method: str) -> None:
    """TensorFlow 2 saves every signature for Predict; a server that checks names wants Classify's for Classify."""
    updater = tf.compat.v1.saved_model.signature_def_utils.MethodNameUpdater(folder)
    updater.replace_method_name(signature_key=signature, method_name=method, tags=["serve"])
    updater.save()


def _in_precision(model: Any, precision: str) -> Any:
    """The model, or the same with variables of another dtype."""
    if precision == "float32":
        return model
    other = type(model).from_config(model.get_config() | {"dtype": precision})
    weights = named_weights(model)
    for name, weight in named_weights(other).items():
        weight.assign(weights[name])
    return other
