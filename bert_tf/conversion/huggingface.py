"""Folders of Hugging Face: `config.json`, `model.safetensors` or `pytorch_model.bin`, and files of the tokenizer.

Names and shapes are those of `transformers`' `BertModel`, `BertForPreTraining` and the other `BertFor...` classes.
"""

import dataclasses
import json
import os
from collections.abc import Mapping
from typing import Any

import ml_dtypes
import numpy as np
import safetensors
import safetensors.numpy

from bert_tf.configs import BertConfig
from bert_tf.configs.published import hugging_face_values, read_config
from bert_tf.conversion import folders, sentence_transformers
from bert_tf.conversion.pretrained import Pretrained, assemble, disassemble
from bert_tf.conversion.report import ConversionReport
from bert_tf.conversion.torch_files import read_torch_file
from bert_tf.tasks import MODEL_KINDS
from bert_tf.tokenization.wordpiece import MAX_WORD_CHARACTERS, SPECIAL_TOKENS, WordPieceTokenizer
from bert_tf.utils import files

CONFIG_FILE = "config.json"
WEIGHT_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
"""The files that may hold weights, in order of preference. An index names the files of weights that are split."""
TOKENIZER_FILES = ("vocab.txt", "tokenizer_config.json", "tokenizer.json")

_FLOATS = {"F64": np.float64, "F32": np.float32, "F16": np.float16, "BF16": ml_dtypes.bfloat16, "I64": np.int64}
_DECODER = "cls.predictions.decoder"


def is_folder(path: str) -> bool:
    """Return whether `path` looks like a folder of Hugging Face."""
    return folders.has(path, CONFIG_FILE) and any(folders.has(path, name) for name in WEIGHT_FILES)


def read(path: str) -> Pretrained:
    """Read the configuration, weights, vocabulary and labels of a folder.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is damaged, or the model is not a BERT.
    """
    config_file = os.path.join(path, CONFIG_FILE)
    values = files.read_json(config_file)
    config = read_config(values, config_file)
    report = ConversionReport(path)
    tensors = _by_model_names(_read_tensors(path), config, report)
    heads, task = _heads_and_task(tensors, values)
    weights = assemble("hugging_face", config, heads, tensors=tensors, report=report)
    tokens, do_lower_case = read_vocabulary(path)
    labels: tuple[str, ...] = ()
    if MODEL_KINDS[task].has_classes:
        labels = _labels(values, len(weights[f"{heads[0]}/dense/bias"]), config_file)
    return Pretrained(
        config=config,
        weights=weights,
        report=report,
        task=task,
        tokens=tokens,
        do_lower_case=do_lower_case,
        labels=labels,
        max_seq_length=_max_seq_length(path),
    )


def _max_seq_length(path: str) -> int | None:
    """Return `model_max_length` of the tokenizer; None if it is missing, or so large that it means no limit (1e30)."""
    length = _json_object(os.path.join(path, "tokenizer_config.json")).get("model_max_length")
    return length if isinstance(length, int) and 3 <= length < 1_000_000 else None


def _read_tensors(path: str) -> dict[str, np.ndarray]:
    for name in WEIGHT_FILES:
        file = os.path.join(path, name)
        if not files.exists(file):
            continue
        if name.endswith(".index.json"):
            index = files.read_json(file)
            if not isinstance(index, dict) or not isinstance(index.get("weight_map"), dict):
                raise ValueError(f"{file} must hold `weight_map`. Received: {index!r:.100}")
            parts = sorted(set(index["weight_map"].values()))
            return {key: value for part in parts for key, value in _read_file(os.path.join(path, part)).items()}
        return _read_file(file)
    raise FileNotFoundError(f"the folder must hold one of {', '.join(WEIGHT_FILES)}. Received: {path!r}")


def _read_file(file: str) -> dict[str, np.ndarray]:
    data = files.read_bytes(file)
    if not file.endswith(".safetensors"):
        return read_torch_file(data, file)
    try:
        found = safetensors.deserialize(data)
    except safetensors.SafetensorError as error:
        raise ValueError(f"{file}: the weights cannot be read ({error})") from None
    tensors = {}
    for name, tensor in found:
        if tensor["dtype"] not in _FLOATS:
            raise ValueError(f"{file}: {name!r} must be one of {', '.join(_FLOATS)}. Received: {tensor['dtype']}")
        tensors[name] = np.frombuffer(tensor["data"], _FLOATS[tensor["dtype"]]).reshape(tensor["shape"])
    return tensors


def _by_model_names(
    tensors: Mapping[str, np.ndarray], config: BertConfig, report: ConversionReport
) -> dict[str, tuple[str, np.ndarray]]:
    """Return the tensors by the names of `BertModel`, without copies of others, which the report lists."""
    found: dict[str, tuple[str, np.ndarray]] = {}
    for original, value in tensors.items():
        # Old files use TensorFlow's names for the weights of LayerNorm. Models with a head call the encoder `bert`.
        name = original.removeprefix("bert.")
        name = name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")
        if name == "embeddings.position_ids":
            report.ignored[original] = "the numbers 0, 1, 2 ..."
        elif name in found:
            raise ValueError(f"{report.source}: each weight must occur once. Received: {original!r}, a second {name}")
        else:
            found[name] = (original, value)
    for copy, of in (("weight", "embeddings.word_embeddings.weight"), ("bias", "cls.predictions.bias")):
        if f"{_DECODER}.{copy}" not in found:
            continue
        original, value = found.pop(f"{_DECODER}.{copy}")
        if of not in found:
            found[of] = (original, value)
        elif np.array_equal(value, found[of][1]):
            report.ignored[original] = f"the same as {found[of][0]}"
        else:
            raise ValueError(
                f"{report.source}: {original!r} must be the same as {found[of][0]!r}, which BERT ties it to. "
                "Received: other values"
            )
    return found


def _heads_and_task(tensors: Mapping[str, Any], values: Mapping[str, Any]) -> tuple[list[str], str]:
    """Return the heads that the tensors belong to, and the task of a model with these heads."""
    if "qa_outputs.weight" in tensors:
        return ["question_answering"], "question_answering"
    if "classifier.weight" in tensors:
        if "BertForTokenClassification" in (values.get("architectures") or ()):
            return ["token_classification"], "tagging"
        # As in `transformers`, a single output means regression.
        if len(tensors["classifier.weight"][1]) == 1:
            return ["regression"], "regression"
        multi_label = values.get("problem_type") == "multi_label_classification"
        return ["classification"], "multi_label" if multi_label else "classification"
    heads = [
        head
        for head, start in (("masked_lm", "cls.predictions."), ("next_sentence", "cls.seq_relationship."))
        if any(name.startswith(start) for name in tensors)
    ]
    return heads, "pretraining" if heads else "encoder"


def _labels(values: Mapping[str, Any], classes: int, config_file: str) -> tuple[str, ...]:
    """Return the names of the classes by id, or generated names if the file does not name every class."""
    names = values.get("id2label")
    if isinstance(names, dict) and set(names) == {str(number) for number in range(classes)}:
        labels = tuple(str(names[str(number)]) for number in range(classes))
        if len(set(labels)) != classes:
            raise ValueError(f"{config_file}: `id2label` must name each class differently. Received: {names}")
        return labels
    return tuple(f"LABEL_{number}" for number in range(classes))


def read_vocabulary(path: str) -> tuple[tuple[str, ...] | None, bool]:
    """Return the tokens of `vocab.txt` or `tokenizer.json`, and whether texts are lower-cased.

    The casing is `do_lower_case` in `tokenizer_config.json`, or the normalizer's in `tokenizer.json`. If both are
    missing, a vocabulary without capitals is taken to be uncased.

    Returns:
        The tokens by id, None if the folder has no vocabulary; and True for lower-casing.
    """
    settings = _json_object(os.path.join(path, "tokenizer_config.json"))
    tokenizer = _json_object(os.path.join(path, "tokenizer.json"))
    tokens: tuple[str, ...] | None = None
    vocabulary = (tokenizer.get("model") or {}).get("vocab")
    if folders.has(path, "vocab.txt"):
        lines = [line.strip() for line in files.iterate_lines(os.path.join(path, "vocab.txt"))]
        while lines and not lines[-1]:
            lines.pop()
        tokens = tuple(lines)
    elif isinstance(vocabulary, dict):
        by_id = {index: token for token, index in vocabulary.items()}
        tokens = tuple(by_id.get(index, "") for index in range(max(by_id, default=-1) + 1))
    stated = [settings.get("do_lower_case"), (tokenizer.get("normalizer") or {}).get("lowercase")]
    for casing in stated:
        if isinstance(casing, bool):
            return tokens, casing
    return tokens, looks_uncased(tokens or ())


def looks_uncased(tokens: tuple[str, ...]) -> bool:
    """Return whether no token has a capital, special tokens aside."""
    return not any(token != token.lower() for token in tokens if not (token.startswith("[") and token.endswith("]")))


def _json_object(file: str) -> dict[str, Any]:
    if not files.exists(file):
        return {}
    value = files.read_json(file)
    if not isinstance(value, dict):
        raise ValueError(f"{file} must hold a JSON object. Received: a {type(value).__name__}")
    return value


def write(pretrained: Pretrained, output_dir: str) -> None:
    """Write a folder that `transformers` loads: configuration, safetensors, vocabulary and files of the tokenizer.

    Fixed sinusoidal positions are written as a table of learned positions with the same numbers. The folder of a model
    for retrieval is also a folder of Sentence Transformers.

    Args:
        pretrained: the model to write.
        output_dir: a new or an empty folder; appears whole or not at all.

    Raises:
        ValueError: `transformers` does not support such a model.
        OSError: the folder cannot be written.
    """
    if pretrained.pooling != "cls":
        raise ValueError(
            "BertForSequenceClassification reads the pooled [CLS] output. A model must have `pooling` cls to be "
            f"written. Received: {pretrained.pooling!r}"
        )
    architecture, has_pooler = _architecture(pretrained)
    left_out = [name for name in pretrained.weights if name.startswith("encoder/pooler/") and not has_pooler]
    for name in left_out:
        for tensor in pretrained.report.loaded.pop(name):
            pretrained.report.ignored[tensor] = f"{architecture} has no pooler"
    tensors = {}
    for name, value in disassemble("hugging_face", pretrained, without=left_out).items():
        in_encoder = name.startswith(("embeddings.", "encoder.", "pooler."))
        tensors[f"bert.{name}" if in_encoder and architecture != "BertModel" else name] = value
    values = {"architectures": [architecture]} | hugging_face_values(pretrained.config)
    problem_type = MODEL_KINDS[pretrained.task].problem_type
    if problem_type is not None:
        values["problem_type"] = problem_type
    if pretrained.task == "regression":
        values["id2label"], values["label2id"] = {"0": "LABEL_0"}, {"LABEL_0": 0}
    if pretrained.labels:
        values["id2label"] = {str(number): label for number, label in enumerate(pretrained.labels)}
        values["label2id"] = {label: number for number, label in enumerate(pretrained.labels)}
    tokenizer = pretrained.tokenizer() if pretrained.tokens is not None else None
    if tokenizer is not None:
        values["pad_token_id"] = tokenizer.pad_id
    with folders.folder_written_whole(output_dir) as folder:
        data = safetensors.numpy.save(tensors, metadata={"format": "pt"})
        files.write_bytes(os.path.join(folder, "model.safetensors"), data)
        if tokenizer is not None:
            length = pretrained.max_seq_length or pretrained.config.max_position_embeddings
            _write_tokenizer(tokenizer, length, folder)
        if pretrained.sentences is not None:
            settings = dataclasses.replace(pretrained.sentences, max_seq_length=pretrained.max_seq_length)
            sentence_transformers.write_settings(settings, pretrained.config.hidden_size, folder)
        files.write_json(os.path.join(folder, CONFIG_FILE), values)


def _architecture(pretrained: Pretrained) -> tuple[str, bool]:
    """Return the class of `transformers` with the model's heads, and whether that class has a pooler.

    Raises:
        ValueError: there is no such class.
    """
    for architecture, heads in MODEL_KINDS[pretrained.task].architectures.items():
        if set(heads) - {"encoder/pooler"} == set(pretrained.heads):
            return architecture, "encoder/pooler" in heads
    raise ValueError(f"the model must be one that `transformers` has a class for. Received: one for {pretrained.task}")


def _write_tokenizer(tokenizer: WordPieceTokenizer, max_seq_length: int, folder: str) -> None:
    tokenizer.save(os.path.join(folder, "vocab.txt"))
    roles = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), SPECIAL_TOKENS, strict=True))
    settings = {
        "tokenizer_class": "BertTokenizer",
        "do_lower_case": tokenizer.do_lower_case,
        "tokenize_chinese_chars": True,
        "strip_accents": None,
        "model_max_length": max_seq_length,
    }
    files.write_json(os.path.join(folder, "tokenizer_config.json"), settings | roles)
    files.write_json(os.path.join(folder, "special_tokens_map.json"), roles)
    files.write_json(os.path.join(folder, "tokenizer.json"), json.loads(fast_tokenizer(tokenizer).to_str()))


def fast_tokenizer(tokenizer: WordPieceTokenizer) -> Any:
    """Return an equal tokenizer of the `tokenizers` library, which `transformers` loads from `tokenizer.json`.

    It gives the same ids, except that it uses newer Unicode tables and parses special tokens in texts.
    """
    import tokenizers
    from tokenizers import decoders, models, normalizers, pre_tokenizers, processors

    ids = {token: index for index, token in enumerate(tokenizer.tokens)}
    fast = tokenizers.Tokenizer(models.WordPiece(ids, unk_token="[UNK]", max_input_chars_per_word=MAX_WORD_CHARACTERS))
    fast.normalizer = normalizers.BertNormalizer(lowercase=tokenizer.do_lower_case)
    fast.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    fast.post_processor = processors.BertProcessing(("[SEP]", tokenizer.sep_id), ("[CLS]", tokenizer.cls_id))
    fast.decoder = decoders.WordPiece()
    fast.add_special_tokens([tokenizers.AddedToken(token, special=True) for token in SPECIAL_TOKENS])
    return fast
