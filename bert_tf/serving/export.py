"""The export of SavedModels that take raw strings: one graph tokenizes, runs the model and answers, for TF Serving.

```
model_dir/export/<version>/  saved_model.pb  variables/  assets/vocab.txt config.json [labels.txt]
                             assets.extra/tf_serving_warmup_requests  MODEL_CARD.md  [litert/model_*.tflite]
                             [onnx/model.onnx]
```

Signatures: `serving_default` takes UTF-8 strings, `token_ids` the encoder's inputs, `examples` serialized
`tf.train.Example`s. The graph uses only operations of TensorFlow and TensorFlow Text, which a stock TF Serving has.
"""

import contextlib
import os
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import keras
import tensorflow as tf

from bert_tf.configs.decoding import DecodingOptions
from bert_tf.configs.multi_task import MultiTaskConfig
from bert_tf.configs.tasks import AnyTaskConfig
from bert_tf.examples import Examples
from bert_tf.models.weights import named_weights
from bert_tf.runs.descriptions import ModelDescription
from bert_tf.serving import litert, litert_export, model_card, onnx_export, onnx_model
from bert_tf.serving.decoding import check_room, decoding_options
from bert_tf.serving.exported import signature_name
from bert_tf.serving.loading import read_model
from bert_tf.serving.members import members_of, served_member
from bert_tf.serving.options import ExportOptions
from bert_tf.serving.predictor import Predictor
from bert_tf.serving.saved_model import exported_model
from bert_tf.serving.signatures.base import Signatures
from bert_tf.serving.signatures.embedding import EncoderSignatures
from bert_tf.serving.signatures.masked_lm import MaskedLMSignatures
from bert_tf.serving.signatures.multi_task import MultiTaskSignatures
from bert_tf.serving.signatures.multiple_choice import MultipleChoiceSignatures
from bert_tf.serving.signatures.question_answering import QuestionAnswererSignatures
from bert_tf.serving.signatures.reranking import RerankerSignatures
from bert_tf.serving.signatures.seq2seq import Seq2SeqSignatures
from bert_tf.serving.signatures.tagging import TaggerSignatures
from bert_tf.serving.signatures.text import ClassifierSignatures, MultiLabelClassifierSignatures, RegressorSignatures
from bert_tf.serving.tensorflow_process import export_by_tensorflow
from bert_tf.serving.trained import of_model
from bert_tf.serving.warmup import requests, write_requests
from bert_tf.tasks import MODEL_KINDS, trainable_of
from bert_tf.tasks.model_kinds import ModelKind
from bert_tf.tasks.seq2seq import Seq2Seq
from bert_tf.tokenization.wordpiece import WordPieceTokenizer
from bert_tf.utils import files, json_text
from bert_tf.utils.arguments import renamed
from bert_tf.utils.folder_contents import subfolders

_SIGNATURES: dict[type[ModelKind], type[Signatures]] = {
    signatures.model_kind: signatures
    for signatures in (
        EncoderSignatures,
        MaskedLMSignatures,
        ClassifierSignatures,
        MultiLabelClassifierSignatures,
        RegressorSignatures,
        TaggerSignatures,
        QuestionAnswererSignatures,
        MultipleChoiceSignatures,
        RerankerSignatures,
        Seq2SeqSignatures,
    )
}


def signatures_of(task: str) -> type[Signatures]:
    """Return the class of a task's signatures, whose docstring describes the outputs.

    A task that defines no signatures uses those of its parent class.

    Raises:
        ValueError: there are no signatures for the task.
    """
    for kind in MODEL_KINDS[task].__mro__:
        if kind in _SIGNATURES:
            return _SIGNATURES[kind]
    known = ", ".join(kind.kind for kind in _SIGNATURES)
    raise ValueError(f"`path` must hold a model whose task has export signatures ({known}). Received: one for {task}")


def export_saved_model(
    path: Any,
    export_dir: str | None = None,
    options: ExportOptions | None = None,
    *,
    task: str | None = None,
    license_name: str | None = None,
    read_examples: Callable[[AnyTaskConfig | MultiTaskConfig], Examples] | None = None,
) -> str:
    """Export a trained or published model as the next version of a SavedModel.

    If Keras computes with another backend than TensorFlow, a process of its own makes the export.

    `serving_default` takes `text`, string [B]. A model of pairs also takes `text_pair`; a model of question answering
    takes `question` and `context` instead, and one of multiple choice `choices` too. The class that `signatures_of`
    returns describes the outputs. A request may hold any number of texts of any length. Texts that exceed the model's
    length are cut, or split into windows, as in training. A model for several tasks has the signatures of each
    (`signatures.multi_task`).

    Args:
        path: a run's folder, or the folder or the name of published weights; or a model that has its tokenizer. An
            export cannot be exported again.
        export_dir: the folder of the versions; None for `export` in the run's folder.
        options: the options; None for the defaults.
        task: the task of published weights that do not say what their head is for; or the name of one task of a run of
            several, which is exported alone. None for what is found at `path`.
        license_name: licence of the weights, for the model card; None for the one that the weights' folder names.
        read_examples: a function that reads labelled examples of the task. The model card then compares the scores of
            the trained model with those of each exported one.

    Returns:
        The folder of the new version, `export_dir/<number>`, complete.

    Raises:
        FileNotFoundError: there is no such model, or no complete checkpoint.
        ValueError: `path` is an export, the model is for another task than `task`, or an option does not fit the model.
        ImportError: TensorFlow Text is not installed; or `onnx`, for an ONNX file.
    """
    options = options or ExportOptions()
    if keras.backend.backend() != "tensorflow":
        if read_examples is not None:
            raise ValueError("`read_examples` needs Keras's backend TensorFlow. Received: a function")
        return export_by_tensorflow(path, export_dir, options, task=task, license_name=license_name)
    if isinstance(path, keras.Model):
        model, description, tokenizer = of_model(path)
        path = f"a {type(path).__name__}"
    else:
        model, description, tokenizer = read_model(path, task)
    if not isinstance(model, keras.Model):
        raise ValueError(f"`path` must hold trained or published weights, not an export. Received: {path!r}")
    if export_dir is None and (path.startswith("hf://") or not tf.io.gfile.isdir(path)):
        raise ValueError(f"`export_dir` must be given where `path` is not a folder. Received: {path!r}")
    export_dir = export_dir or os.path.join(path, "export")
    with renamed(folder="export_dir"):
        files.require_writable_folder(export_dir)
    if members_of(description) and (options.litert or options.onnx):
        raise ValueError(
            "`litert` and `onnx` files hold one task: name it by `task`. Received: a model for several, "
            f"{', '.join(member.name for member in members_of(description))}"
        )
    if options.litert:
        litert_export.check_task(description.task)
    if options.onnx:
        onnx_export.check_model(model)
    if max(options.litert_lengths, default=0) > description.max_seq_length:
        raise ValueError(
            f"`litert_lengths` must be at most {description.max_seq_length}, the model's longest row. "
            f"Received: {max(options.litert_lengths)}"
        )
    description = description.replace(decoding=_decoding(description, options))
    if read_examples is not None and description.decoding is not None:
        raise ValueError("`eval_data` scores classes, tags, numbers and answers. Received: a model for seq2seq")
    examples = _examples(description, read_examples) if read_examples else None
    precise = _in_precision(model, options.precision)
    module = _module(precise, description, tokenizer, options)
    name = "SavedModel" + ("" if options.precision == "float32" else f", {options.precision}")
    with _next_version(export_dir) as (folder, version):
        _save(module, folder, tokenizer, description)
        variants: dict[str, Callable[[], Any]] = {
            "as trained": lambda: model,
            name: lambda: exported_model(folder, description),
        }
        for quantization in options.litert:
            file = os.path.join(folder, "litert", litert.file_name(quantization))
            size = litert_export.write_litert(model, description.task, file, quantization=quantization)
            for length in options.litert_lengths:
                fixed = os.path.join(folder, "litert", litert.file_name(quantization, length))
                litert_export.write_litert(model, description.task, fixed, quantization=quantization, length=length)
            variants[f"LiteRT, {quantization}, {size / 1e6:.1f} MB"] = partial(litert.LiteModel, file, description.task)
        if options.onnx:
            file = os.path.join(folder, "onnx", onnx_model.FILE)
            size = onnx_export.write_onnx(model, file)
            variants[f"ONNX, {size / 1e6:.1f} MB"] = partial(onnx_model.OnnxModel, file, description.task)
        scores = {
            name: _scores(make(), description, tokenizer, examples) for name, make in variants.items() if examples
        }
        license_name = license_name or model_card.weights_license(path, description.data.get("init_checkpoint"))
        details = {
            "precision": options.precision,
            "compiled by XLA": "yes" if options.jit_compile or options.fixed_batch_size else "no",
            "rows at a time": options.fixed_batch_size or "any number",
        }
        if description.decoding is not None:
            chosen = {name: value for name, value in description.decoding.to_dict().items() if value is not None}
            details["generation"] = ", ".join(f"{name} {value}" for name, value in chosen.items())
        metrics = model_card.run_metrics(path)
        page = model_card.card(description, path, license_name, metrics=metrics, details=details, scores=scores)
        files.write_text(os.path.join(folder, model_card.CARD_FILE), page)
    return version


def _module(
    model: Any, description: ModelDescription, tokenizer: WordPieceTokenizer, options: ExportOptions
) -> Signatures | MultiTaskSignatures:
    """Return the module to save, with the signatures of the model's task, or of all its tasks."""

    def of_task(model: Any, description: ModelDescription) -> Signatures:
        return signatures_of(description.task)(model, description, tokenizer, options=options)

    members = members_of(description)
    if not members:
        return of_task(model, description)
    return MultiTaskSignatures({member.name: of_task(*served_member(model, description, member)) for member in members})


def _decoding(description: ModelDescription, options: ExportOptions) -> DecodingOptions | None:
    """Return the options by which an export generates texts; None for other tasks than sequence to sequence."""
    given = options.of_generation()
    several = [description.of_task(member) for member in members_of(description)]
    description = next((each for each in several if each.task == Seq2Seq.kind), description)
    if description.task != Seq2Seq.kind:
        others = [name for name in given if name != "top_k"]
        if others:
            raise ValueError(
                f"`{others[0]}` needs a model for {Seq2Seq.kind}. "
                f"Received: {given[others[0]]} for one of {description.task}"
            )
        return None
    decoding = decoding_options(description, given)
    check_room(description, decoding)
    return decoding


@contextlib.contextmanager
def _next_version(export_dir: str) -> Iterator[tuple[str, str]]:
    """Yield a folder to write the next version into, and the name that it gets when the block ends."""
    taken = (*subfolders(export_dir), *files.names_in_folder(export_dir))
    versions = [int(name) for name in taken if name.isdecimal()]
    version = os.path.join(export_dir, str(max(versions, default=0) + 1))
    # TF Serving loads a folder whose name is a number as soon as it appears, so it must appear whole.
    temporary = os.path.join(export_dir, f"tmp-{uuid.uuid4().hex[:8]}")
    try:
        yield temporary, version
        tf.io.gfile.rename(temporary, version)
    finally:
        if files.exists(temporary):
            tf.io.gfile.rmtree(temporary)


def _save(
    module: Signatures | MultiTaskSignatures, folder: str, tokenizer: WordPieceTokenizer, description: ModelDescription
) -> None:
    """Write the SavedModel with its assets and warm-up requests."""
    # `bert_tf.load` reads config.json from an export as from a run.
    assets = {
        "vocab.txt": "".join(f"{token}\n" for token in tokenizer.tokens),
        "labels.txt": "".join(f"{label}\n" for label in description.labels),
        "config.json": json_text.dumps(description.to_dict()) + "\n",
    }
    originals = os.path.join(folder, "assets.tmp")
    for name, text in assets.items():
        if text:
            files.write_text(os.path.join(originals, name), text)
            setattr(module, name.replace(".", "_"), tf.saved_model.Asset(os.path.join(originals, name)))
    tf.saved_model.save(module, folder, signatures=module.signatures())
    tf.io.gfile.rmtree(originals)
    word = next(token for token in tokenizer.tokens if token.isascii() and token.isalnum())
    logs = []
    for name, part in module.parts.items():
        examples = signature_name(name, "examples")
        if part.examples_method != "predict":
            _name_method(folder, examples, f"tensorflow/serving/{part.examples_method}")
        logs += requests(
            part.text_inputs,
            part.examples_method,
            word=word,
            lengths=part.bucket_lengths,
            has_mask=part.needs_mask,
            number_inputs=part.number_inputs,
            list_inputs=part.list_inputs,
            signatures=(signature_name(name, "serving_default"), examples),
        )
    write_requests(folder, logs)


def _examples(
    description: ModelDescription, read_examples: Callable[[AnyTaskConfig | MultiTaskConfig], Examples]
) -> Examples:
    if description.task_config is None:
        raise ValueError(f"`eval_data` needs a fine-tuned model. Received: a model for {description.task}")
    return read_examples(description.task_config)


def _scores(
    model: Any, description: ModelDescription, tokenizer: WordPieceTokenizer, examples: Examples
) -> dict[str, float]:
    """Return those of the metrics of the task, or of all tasks, that are numbers."""
    assert description.task_config is not None
    trainable = trainable_of(description.task_config)
    found = {}
    for member in trainable.members(description.labels):
        own = examples.of_task(member.name).examples
        answers = Predictor(member.model_in(model), description.of_task(member), tokenizer).predict(own)
        found[member] = member.task.scores(own, answers, member.labels)
    scores = trainable.joined_scores(found)
    return {name: value for name, value in scores.items() if isinstance(value, int | float)}


def _name_method(folder: str, signature: str, method: str) -> None:
    """Set the method name of a signature, which TensorFlow 2 always saves as Predict.

    A server that checks the names accepts Classify and Regress requests only for signatures of that method.
    """
    updater = tf.compat.v1.saved_model.signature_def_utils.MethodNameUpdater(folder)
    updater.replace_method_name(signature_key=signature, method_name=method, tags=["serve"])
    updater.save()


def _in_precision(model: Any, precision: str) -> Any:
    """Return the model, or a copy whose variables have the dtype `precision`."""
    if precision == "float32":
        return model
    other = type(model).from_config(model.get_config() | {"dtype": precision})
    weights = named_weights(model)
    for name, weight in named_weights(other).items():
        weight.assign(weights[name])
    return other
