import json

import numpy as np
import pytest
import tensorflow as tf
from small_checkpoints import HF_CONFIG, VOCABULARY, hf_encoder, rows, with_heads, write_hf

from bert_tf.conversion.convert import convert_checkpoint
from bert_tf.conversion.loading import load_encoder, load_pretrained, read_pretrained

# The variables of google-research/bert's published checkpoints (`tf.train.list_variables`), and their shapes by the
# numbers of `bert_config.json`: V tokens, P positions, T segments, D hidden, I intermediate.
EMBEDDING_VARIABLES = {
    "bert/embeddings/word_embeddings": "VD",
    "bert/embeddings/position_embeddings": "PD",
    "bert/embeddings/token_type_embeddings": "TD",
    "bert/embeddings/LayerNorm/beta": "D",
    "bert/embeddings/LayerNorm/gamma": "D",
}
LAYER_VARIABLES = {
    "attention/self/query/kernel": "DD",
    "attention/self/query/bias": "D",
    "attention/self/key/kernel": "DD",
    "attention/self/key/bias": "D",
    "attention/self/value/kernel": "DD",
    "attention/self/value/bias": "D",
    "attention/output/dense/kernel": "DD",
    "attention/output/dense/bias": "D",
    "attention/output/LayerNorm/beta": "D",
    "attention/output/LayerNorm/gamma": "D",
    "intermediate/dense/kernel": "DI",
    "intermediate/dense/bias": "I",
    "output/dense/kernel": "ID",
    "output/dense/bias": "D",
    "output/LayerNorm/beta": "D",
    "output/LayerNorm/gamma": "D",
}
POOLER_VARIABLES = {"bert/pooler/dense/kernel": "DD", "bert/pooler/dense/bias": "D"}
PRETRAINING_VARIABLES = {
    "cls/predictions/output_bias": "V",
    "cls/predictions/transform/dense/kernel": "DD",
    "cls/predictions/transform/dense/bias": "D",
    "cls/predictions/transform/LayerNorm/beta": "D",
    "cls/predictions/transform/LayerNorm/gamma": "D",
    "cls/seq_relationship/output_weights": "2D",
    "cls/seq_relationship/output_bias": "2",
}
CLASSIFIER_VARIABLES = {"output_weights": "3D", "output_bias": "3"}
SQUAD_VARIABLES = {"cls/squad/output_weights": "2D", "cls/squad/output_bias": "2"}
SIZES = {"V": 40, "P": 12, "T": 2, "D": 8, "I": 16, "2": 2, "3": 3}


def published(heads, layers=2):
    """Return the shapes of a published checkpoint's variables, by name."""
    names = EMBEDDING_VARIABLES | POOLER_VARIABLES | heads
    for layer in range(layers):
        names |= {f"bert/encoder/layer_{layer}/{name}": shape for name, shape in LAYER_VARIABLES.items()}
    return {name: tuple(SIZES[size] for size in shape) for name, shape in names.items()}


def write_bundle(folder, tensors, name="bert_model.ckpt", config=True):
    folder.mkdir(exist_ok=True)
    tf.raw_ops.SaveV2(
        prefix=str(folder / name),
        tensor_names=list(tensors),
        shape_and_slices=[""] * len(tensors),
        tensors=list(tensors.values()),
    )
    google = {name: value for name, value in HF_CONFIG.items() if name not in ("model_type", "layer_norm_eps")}
    if config:
        (folder / "bert_config.json").write_text(json.dumps(google | {"directionality": "bidi"}))
        (folder / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n")
    return str(folder)


def same(one, other):
    assert set(one) == set(other)
    for name, value in one.items():
        assert np.array_equal(value, other[name]), name


@pytest.mark.parametrize(
    ("hf_heads", "variables"),
    [
        ((), {}),
        (("mlm", "nsp"), PRETRAINING_VARIABLES),
        (("classifier",), CLASSIFIER_VARIABLES),
        (("qa",), SQUAD_VARIABLES),
    ],
)
def test_names_and_shapes_are_the_published_ones(hf_heads, variables, tmp_path):
    source = write_hf(tmp_path / "hf", with_heads(*hf_heads), problem_type="single_label_classification")
    report = convert_checkpoint(source, str(tmp_path / "google"), "google")
    assert (report.missing, report.unexpected, report.ignored) == ([], [], {})
    written = {name: tuple(shape) for name, shape in tf.train.list_variables(str(tmp_path / "google/bert_model.ckpt"))}
    assert written == published(variables)
    config = json.loads((tmp_path / "google" / "bert_config.json").read_text())
    assert config == {name: HF_CONFIG[name] for name in HF_CONFIG if name not in ("model_type", "layer_norm_eps")}
    assert (tmp_path / "google" / "vocab.txt").read_text().split() == VOCABULARY
    # Both the folder and the checkpoint's prefix can be read back.
    original = read_pretrained(source)
    for path in ("google", "google/bert_model.ckpt", "google/bert_model.ckpt.index"):
        again = read_pretrained(str(tmp_path / path))
        same(again.weights, original.weights)
        assert (again.config, again.tokens, again.do_lower_case) == (original.config, original.tokens, True)
        assert again.report.unexpected == []
    assert again.task == original.task
    assert set(again.report.transposed) == {name for name in variables if name.endswith("output_weights")}


def test_only_output_products_are_transposed(tmp_path):
    """The products of google-research/bert are x K in a layer and x W^T in an output."""
    hf = with_heads("mlm", "nsp")
    convert_checkpoint(write_hf(tmp_path / "hf", hf), str(tmp_path / "google"), "google")
    reader = tf.train.load_checkpoint(str(tmp_path / "google" / "bert_model.ckpt"))
    kernel = reader.get_tensor("bert/encoder/layer_1/attention/self/key/kernel")
    assert np.array_equal(kernel, hf["bert.encoder.layer.1.attention.self.key.weight"].T)
    output = reader.get_tensor("cls/seq_relationship/output_weights")
    assert np.array_equal(output, hf["cls.seq_relationship.weight"])


def _tf1(heads=PRETRAINING_VARIABLES, seed=3):
    random = np.random.default_rng(seed)
    return {name: random.standard_normal(shape).astype(np.float32) for name, shape in published(heads).items()}


def test_an_index_that_declares_more_than_the_data_is_refused(tmp_path):
    """The index of a checkpoint with long vectors, beside the data of one with short vectors."""
    long = {"a": np.zeros(100_000, np.float32)}
    short = {"a": np.zeros(10, np.float32)}
    write_bundle(tmp_path / "long", long)
    folder = write_bundle(tmp_path / "short", short)
    index = "bert_model.ckpt.index"
    (tmp_path / "short" / index).write_bytes((tmp_path / "long" / index).read_bytes())
    with pytest.raises(ValueError, match=r"its index declares 400000 bytes, and its data files hold 40"):
        read_pretrained(folder)


def test_the_state_of_training_is_ignored_and_reported(tmp_path):
    tensors = _tf1()
    extra = {
        "global_step": np.int64(9),
        "bert/pooler/dense/kernel/adam_m": np.zeros((8, 8), np.float32),
        "bert/pooler/dense/kernel/adam_v": np.zeros((8, 8), np.float32),
    }
    pretrained = read_pretrained(write_bundle(tmp_path / "tf1", tensors | extra | {"strange": np.float32(1)}))
    assert set(pretrained.report.ignored) == set(extra)
    assert pretrained.report.unexpected == ["strange"]
    assert sorted(name for names in pretrained.report.loaded.values() for name in names) == sorted(tensors)


# The model garden's names for a block's variables, beside TF1's; heads split the attention's products.
_TF2_LAYER = {
    "_attention_layer/_query_dense": "attention/self/query",
    "_attention_layer/_key_dense": "attention/self/key",
    "_attention_layer/_value_dense": "attention/self/value",
    "_attention_layer_norm": "attention/output/LayerNorm",
    "_intermediate_dense": "intermediate/dense",
    "_output_dense": "output/dense",
    "_output_layer_norm": "output/LayerNorm",
}


def _tf2(tensors, encoder, heads, numbered, attention_output):
    """Return TF1's tensors under the names of a version of the model garden."""

    def under(name):
        return f"{name}/.ATTRIBUTES/VARIABLE_VALUE"

    tables = ("_embedding_layer", "_position_embedding_layer", "_type_embedding_layer", "_embedding_norm_layer")
    layers = [f"layer_with_weights-{n}" for n in range(7)] if numbered else [*tables, 0, 1, "_pooler_layer"]
    layers = [f"_transformer_layers/{layer}" if isinstance(layer, int) else layer for layer in layers]
    moved = {}
    for table, name in zip(layers, ("word", "position", "token_type"), strict=False):
        moved[f"{encoder}/{table}/embeddings"] = tensors[f"bert/embeddings/{name}_embeddings"]
    for kind in ("gamma", "beta"):
        moved[f"{encoder}/{layers[3]}/{kind}"] = tensors[f"bert/embeddings/LayerNorm/{kind}"]
    for layer in range(2):
        for theirs, ours in (_TF2_LAYER | {attention_output: "attention/output/dense"}).items():
            for kind in ("kernel", "bias", "gamma", "beta"):
                value = tensors.get(f"bert/encoder/layer_{layer}/{ours}/{kind}")
                if value is None:
                    continue
                if "_attention_layer/_" in theirs and "output" not in theirs:
                    value = value.reshape((8, 2, 4) if kind == "kernel" else (2, 4))
                elif theirs == attention_output and kind == "kernel":
                    value = value.reshape(2, 4, 8)
                moved[f"{encoder}/{layers[4 + layer]}/{theirs}/{kind}"] = value
    for kind in ("kernel", "bias"):
        moved[f"{encoder}/{layers[6]}/{kind}"] = tensors[f"bert/pooler/dense/{kind}"]
    moved |= {theirs: tensors[ours] for theirs, ours in heads.items()}
    return {under(name): value for name, value in moved.items()}


_MASKED_LM = {
    "masked_lm/dense/kernel": "cls/predictions/transform/dense/kernel",
    "masked_lm/dense/bias": "cls/predictions/transform/dense/bias",
    "masked_lm/layer_norm/gamma": "cls/predictions/transform/LayerNorm/gamma",
    "masked_lm/layer_norm/beta": "cls/predictions/transform/LayerNorm/beta",
    "masked_lm/bias": "cls/predictions/output_bias",
}
_NUMBERED = "model/layer_with_weights-0"
_NUMBERED_HEADS = {
    f"{_NUMBERED}/layer_with_weights-1/layer_with_weights-0/kernel": "cls/predictions/transform/dense/kernel",
    f"{_NUMBERED}/layer_with_weights-1/layer_with_weights-0/bias": "cls/predictions/transform/dense/bias",
    f"{_NUMBERED}/layer_with_weights-1/layer_with_weights-1/gamma": "cls/predictions/transform/LayerNorm/gamma",
    f"{_NUMBERED}/layer_with_weights-1/layer_with_weights-1/beta": "cls/predictions/transform/LayerNorm/beta",
    f"{_NUMBERED}/layer_with_weights-1/layer_with_weights-2/bias": "cls/predictions/output_bias",
    f"{_NUMBERED}/layer_with_weights-2/layer_with_weights-0/bias": "cls/seq_relationship/output_bias",
}


@pytest.mark.parametrize(
    ("encoder", "heads", "numbered", "attention_output"),
    [
        ("model", {}, True, "_attention_output_dense"),
        ("encoder", _MASKED_LM, True, "_attention_layer/_output_dense"),
        ("encoder", _MASKED_LM, False, "_attention_layer/_output_dense"),
        (f"{_NUMBERED}/layer_with_weights-0", _NUMBERED_HEADS, True, "_attention_output_dense"),
    ],
    ids=["encoder", "masked LM", "attributes", "pre-training"],
)
def test_checkpoints_of_the_model_garden_are_read(encoder, heads, numbered, attention_output, tmp_path):
    tensors = _tf1()
    tf2 = _tf2(tensors, encoder, heads, numbered, attention_output)
    kept = {name: tensors[name] for name in [*published({}), *heads.values()]}
    if heads is _NUMBERED_HEADS:
        # In TF2, the output product is [D, 2].
        name = f"{_NUMBERED}/layer_with_weights-2/layer_with_weights-0/kernel/.ATTRIBUTES/VARIABLE_VALUE"
        tf2[name] = tensors["cls/seq_relationship/output_weights"].T
        kept["cls/seq_relationship/output_weights"] = tensors["cls/seq_relationship/output_weights"]
    bookkeeping = {
        "save_counter/.ATTRIBUTES/VARIABLE_VALUE": np.int64(1),
        "optimizer/iterations/.ATTRIBUTES/VARIABLE_VALUE": np.int64(1),
        f"{next(iter(tf2)).removesuffix('/.ATTRIBUTES/VARIABLE_VALUE')}/.OPTIMIZER_SLOT/optimizer/m"
        "/.ATTRIBUTES/VARIABLE_VALUE": np.zeros(3, np.float32),
    }
    found = read_pretrained(write_bundle(tmp_path / "tf2", tf2 | bookkeeping))
    same(found.weights, read_pretrained(write_bundle(tmp_path / "tf1", kept)).weights)
    assert found.report.unexpected == []
    assert set(found.report.ignored) == set(bookkeeping)
    assert found.report.transposed == []


def test_the_pooler_of_a_next_sentence_head_is_read(tmp_path):
    tensors = _tf1({})
    tf2 = _tf2(tensors, "encoder", {}, True, "_attention_layer/_output_dense")
    for kind in ("kernel", "bias"):
        value = tf2.pop(f"encoder/layer_with_weights-6/{kind}/.ATTRIBUTES/VARIABLE_VALUE")
        tf2[f"next_sentence..pooler_dense/{kind}/.ATTRIBUTES/VARIABLE_VALUE"] = value
    found = read_pretrained(write_bundle(tmp_path / "tf2", tf2))
    same(found.weights, read_pretrained(write_bundle(tmp_path / "tf1", tensors)).weights)


def test_both_formats_give_the_same_outputs(tmp_path):
    source = write_hf(tmp_path / "hf", hf_encoder())
    convert_checkpoint(source, str(tmp_path / "google"), "google")
    inputs = rows()
    one, other = (load_encoder(path)(inputs) for path in (source, str(tmp_path / "google")))
    assert np.array_equal(one["sequence_output"], other["sequence_output"])
    assert np.array_equal(one["pooled_output"], other["pooled_output"])


def test_several_checkpoints_in_a_folder_need_a_choice(tmp_path):
    folder = tmp_path / "run"
    for step in (1, 2):
        write_bundle(folder, _tf1(seed=step), f"model.ckpt-{step}")
    with pytest.raises(ValueError, match=r"name one of model\.ckpt-1, model\.ckpt-2"):
        read_pretrained(str(folder))
    second = read_pretrained(str(folder / "model.ckpt-2"))
    assert np.array_equal(second.weights["encoder/pooler/dense/bias"], _tf1(seed=2)["bert/pooler/dense/bias"])


def test_damaged_and_incomplete_checkpoints_are_reported(tmp_path):
    folder = tmp_path / "tf1"
    source = write_bundle(folder, _tf1())
    data = folder / "bert_model.ckpt.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"bert_model\.ckpt: the checkpoint cannot be read"):
        read_pretrained(source)
    tensors = _tf1()
    del tensors["bert/encoder/layer_0/attention/self/key/bias"]
    with pytest.raises(ValueError, match="Missing: encoder/block_0/attention/query_key_value/bias"):
        load_pretrained(write_bundle(tmp_path / "torn", tensors))
    (folder / "bert_config.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"bert_config\.json"):
        read_pretrained(source)


def test_an_epsilon_that_google_does_not_support_is_refused(tmp_path):
    source = write_hf(tmp_path / "hf", hf_encoder(), layer_norm_eps=1e-5)
    with pytest.raises(ValueError, match="`layer_norm_epsilon` must be 1e-12"):
        convert_checkpoint(source, str(tmp_path / "out"), "google")
    assert not (tmp_path / "out").exists()
