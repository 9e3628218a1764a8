import json
import shutil
import struct
import tracemalloc

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy
from numpy_bert import encode, masked_lm_logits, pool
from small_checkpoints import HF_CONFIG, VOCABULARY, hf_encoder, hf_heads, read_hf, rows, with_heads, write_hf

import bert_tf
from bert_tf.conversion import huggingface
from bert_tf.conversion.convert import convert_checkpoint, save_pretrained
from bert_tf.conversion.loading import load_encoder, load_pretrained, load_pretrainer, read_pretrained
from bert_tf.models.weights import named_weights
from bert_tf.tokenization.options import TokenizerOptions
from bert_tf.tokenization.published import read_tokenizer
from bert_tf.tokenization.published_writer import write_tokenizer
from bert_tf.tokenization.wordpiece import WordPieceTokenizer


def _same(one, other):
    assert set(one) == set(other)
    for name, value in one.items():
        assert value.dtype == other[name].dtype
        assert np.array_equal(value, other[name]), name


def _vocabulary(folder):
    found = read_tokenizer(str(folder))
    assert not found.problem
    assert found.options == TokenizerOptions()
    return found.tokens, found.do_lower_case


def _pretraining(folder, **config):
    return write_hf(folder, with_heads("mlm", "nsp"), architectures=["BertForPreTraining"], **config)


def test_the_encoder_computes_the_outputs_of_its_tensors(tmp_path):
    """The expected outputs use only Hugging Face's names, where a product is x W^T + b."""
    encoder = bert_tf.load_encoder(write_hf(tmp_path / "hf", hf_encoder(), architectures=["BertModel"]))
    inputs = rows()
    outputs = encoder(inputs | {"position_ids": np.tile(np.arange(10, dtype=np.int32), (3, 1))})
    weights = {name: np.asarray(weight.numpy(), np.float64) for name, weight in named_weights(encoder).items()}
    tensors = hf_encoder()
    names = [f"encoder.layer.1.attention.self.{role}.weight" for role in ("query", "key", "value")]
    kernel = weights["encoder/block_1/attention/query_key_value/kernel"]
    assert np.array_equal(kernel, np.concatenate([tensors[name].T for name in names], axis=1))
    assert np.array_equal(weights["encoder/pooler/dense/kernel"], tensors["pooler.dense.weight"].T)
    for row, mask in enumerate(inputs["input_mask"]):
        length = mask.sum()
        ids, segments = inputs["input_ids"][row, :length], inputs["segment_ids"][row, :length]
        expected = encode(ids, segments, 2, weights)
        assert np.abs(outputs["sequence_output"][row, :length] - expected).max() < 2e-5
        assert np.abs(outputs["pooled_output"][row] - pool(expected[0], weights)).max() < 2e-5


def test_a_pretrainer_computes_its_heads(tmp_path):
    model = bert_tf.load_pretrainer(_pretraining(tmp_path / "hf"))
    inputs = rows(count=1)
    inputs["input_mask"][:] = 1
    positions = np.array([[1, 4, 7]], np.int32)
    outputs = model(inputs | {"masked_lm_positions": positions})
    weights = {name: np.asarray(weight.numpy(), np.float64) for name, weight in named_weights(model).items()}
    sequence = encode(inputs["input_ids"][0], inputs["segment_ids"][0], 2, weights)
    assert np.abs(outputs["masked_lm_logits"][0] - masked_lm_logits(sequence, positions[0], weights)).max() < 2e-5
    heads = hf_heads("mlm", "nsp")
    expected = pool(sequence[0], weights) @ heads["cls.seq_relationship.weight"].T + heads["cls.seq_relationship.bias"]
    assert np.abs(outputs["next_sentence_logits"][0] - expected).max() < 2e-5


@pytest.mark.parametrize(
    ("heads", "options", "architecture", "task"),
    [
        (("mlm", "nsp"), {}, "BertForPreTraining", "pretraining"),
        (("mlm",), {"pooler": False}, "BertForMaskedLM", "pretraining"),
        (("nsp",), {}, "BertForNextSentencePrediction", "pretraining"),
        (("classifier",), {}, "BertForSequenceClassification", "classification"),
        (("classifier",), {"classes": 1}, "BertForSequenceClassification", "regression"),
        (("classifier",), {"pooler": False}, "BertForTokenClassification", "tagging"),
        (("qa",), {"pooler": False}, "BertForQuestionAnswering", "question_answering"),
        (("classifier",), {"classes": 1}, "BertForMultipleChoice", "multiple_choice"),
    ],
)
def test_round_trip_leaves_every_tensor_as_it_was(heads, options, architecture, task, tmp_path):
    tensors = with_heads(*heads, **options)
    labels = {str(number): name for number, name in enumerate(("red", "green", "blue")[: options.get("classes", 3)])}
    source = write_hf(tmp_path / "hf", tensors, architectures=[architecture], id2label=labels)
    report = convert_checkpoint(source, str(tmp_path / "again"), "huggingface")
    assert (report.missing, report.unexpected, report.ignored) == ([], [], {})
    _same(read_hf(tmp_path / "again"), tensors)
    config = json.loads((tmp_path / "again" / "config.json").read_text())
    assert config["architectures"] == [architecture]
    assert {name: config[name] for name in HF_CONFIG} == HF_CONFIG
    if task in ("classification", "tagging"):
        assert config["id2label"] == labels
    # Written from a Keras model, the tensors have the same bits too.
    model, pretrained = load_pretrained(source, allow_random_heads=heads in (("mlm",), ("nsp",)))
    assert pretrained.task == task
    if heads not in (("mlm",), ("nsp",)):
        save_pretrained(model, str(tmp_path / "third"), labels=pretrained.labels)
        _same(read_hf(tmp_path / "third"), tensors)


def test_an_encoder_alone_has_no_prefix(tmp_path):
    source = write_hf(tmp_path / "hf", hf_encoder(), architectures=["BertModel"])
    convert_checkpoint(source, str(tmp_path / "again"), "huggingface")
    _same(read_hf(tmp_path / "again"), hf_encoder())


def test_names_of_old_files_are_understood(tmp_path):
    """Old files have `gamma` and `beta`, the tied output product, the buffer of positions, and no `model_type`."""
    tensors = with_heads("mlm", "nsp")
    old = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): value
        for name, value in tensors.items()
    }
    old["cls.predictions.decoder.weight"] = tensors["bert.embeddings.word_embeddings.weight"]
    old["cls.predictions.decoder.bias"] = tensors["cls.predictions.bias"]
    old["bert.embeddings.position_ids"] = np.arange(12)[None]
    pretrained = read_pretrained(write_hf(tmp_path / "old", old, architectures=None))
    _same(pretrained.weights, read_pretrained(_pretraining(tmp_path / "new")).weights)
    assert set(pretrained.report.ignored) == {
        "cls.predictions.decoder.weight",
        "cls.predictions.decoder.bias",
        "bert.embeddings.position_ids",
    }
    assert pretrained.report.unexpected == []


def test_an_output_product_that_is_not_tied_is_refused(tmp_path):
    tensors = with_heads("mlm", "nsp")
    tensors["cls.predictions.decoder.weight"] = tensors["bert.embeddings.word_embeddings.weight"] + 1
    with pytest.raises(ValueError, match=r"'cls\.predictions\.decoder\.weight' must be the same as 'bert\.embeddings"):
        read_pretrained(write_hf(tmp_path / "hf", tensors))


@pytest.mark.parametrize(("kind", "code"), [(np.float16, "F16"), (ml_dtypes.bfloat16, "BF16"), (np.float64, "F64")])
def test_other_precisions_become_float32(kind, code, tmp_path):
    folder = tmp_path / "hf"
    source = write_hf(folder, hf_encoder())
    header, data = {}, b""
    for name, value in hf_encoder().items():
        end = len(data) + value.astype(kind).nbytes
        header[name] = {"dtype": code, "shape": value.shape, "data_offsets": [len(data), end]}
        data += value.astype(kind).tobytes()
    text = json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)
    found = read_pretrained(source).weights["encoder/embeddings/word_embeddings/embeddings"]
    assert found.dtype == np.float32
    assert np.array_equal(found, hf_encoder()["embeddings.word_embeddings.weight"].astype(kind).astype(np.float32))


def test_weights_in_several_files(tmp_path):
    folder = tmp_path / "hf"
    source = write_hf(folder, hf_encoder())
    whole = read_pretrained(source).weights
    names = list(hf_encoder())
    parts = {"model-00001-of-00002.safetensors": names[:9], "model-00002-of-00002.safetensors": names[9:]}
    for file, part in parts.items():
        safetensors.numpy.save_file({name: hf_encoder()[name] for name in part}, folder / file)
    (folder / "model.safetensors").unlink()
    weight_map = {name: file for file, part in parts.items() for name in part}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    _same(read_pretrained(source).weights, whole)


def test_a_missing_head_is_an_error_unless_random_heads_are_allowed(tmp_path):
    source = write_hf(tmp_path / "hf", with_heads("mlm", pooler=False), architectures=["BertForMaskedLM"])
    with pytest.raises(ValueError, match=r"no weights for encoder/pooler, next_sentence, .*--allow_random_heads"):
        load_pretrainer(source)
    with pytest.raises(ValueError, match="no weights for encoder/pooler, which a model for encoder needs"):
        load_encoder(source)
    model, pretrained = load_pretrained(source, "pretraining", allow_random_heads=True)
    assert sorted(pretrained.report.missing) == [
        "encoder/pooler/dense/bias",
        "encoder/pooler/dense/kernel",
        "next_sentence/dense/bias",
        "next_sentence/dense/kernel",
    ]
    assert "missing     next_sentence/dense/kernel" in str(pretrained.report)
    # Fresh weights have the usual size and are not zero.
    assert 0 < np.abs(named_weights(model)["next_sentence/dense/kernel"].numpy()).max() < 0.1


def test_an_incomplete_head_or_encoder_is_always_an_error(tmp_path):
    for number, hole in enumerate(("cls.predictions.transform.dense.bias", "bert.encoder.layer.1.output.dense.bias")):
        tensors = with_heads("mlm", "nsp")
        del tensors[hole]
        source = write_hf(tmp_path / str(number), tensors)
        with pytest.raises(ValueError, match=r"must hold every weight .*Missing: (masked_lm|encoder/block_1)"):
            load_pretrainer(source, allow_random_heads=True)


def test_tensors_that_no_bert_has_are_reported(tmp_path, caplog):
    source = write_hf(tmp_path / "hf", hf_encoder() | {"adapter.weight": np.zeros(3, np.float32)})
    _, pretrained = load_pretrained(source)
    assert pretrained.report.unexpected == ["adapter.weight"]
    assert "adapter.weight" in caplog.text
    assert "39 tensors loaded into 31 weights" in pretrained.report.summary()
    assert "[2 blocks]" in str(pretrained.report)


@pytest.mark.parametrize("kind", ["int8", "int16", "int32", "int64", "uint8", "bool"])
def test_whole_numbers_are_ignored_and_reported(kind, tmp_path):
    counted = {"embeddings.position_ids": np.arange(12, dtype=np.int32)[None], "num_batches": np.array([3], kind)}
    pretrained = read_pretrained(write_hf(tmp_path / "hf", hf_encoder() | counted))
    assert set(pretrained.report.ignored) == set(counted)
    assert "whole numbers" in pretrained.report.ignored["num_batches"]
    # A weight that was made whole numbers, by quantization, is no weight that can be used.
    name = "embeddings.word_embeddings.weight"
    source = write_hf(tmp_path / "q", hf_encoder() | {name: hf_encoder()[name].astype(kind)})
    with pytest.raises(ValueError, match="must hold every weight"):
        load_encoder(source)


def test_heads_that_the_model_lacks_are_ignored_and_reported(tmp_path):
    _, pretrained = load_pretrained(_pretraining(tmp_path / "hf"), "encoder")
    assert pretrained.report.ignored["cls.predictions.bias"] == "a model for encoder has no masked_lm/output_bias"
    assert len(pretrained.report.ignored) == len(hf_heads("mlm", "nsp"))


def test_a_published_encoder_gets_a_new_classifier(tmp_path):
    source = _pretraining(tmp_path / "hf")
    with pytest.raises(ValueError, match="`num_classes` must be given for a new head"):
        load_pretrained(source, "classification", allow_random_heads=True)
    model, _ = load_pretrained(source, "classification", allow_random_heads=True, num_classes=4)
    assert model(rows()).shape == (3, 4)
    with pytest.raises(ValueError, match="`task` must be one of encoder, pretraining, "):
        load_pretrained(source, "translation")


def test_labels_are_read_from_the_configuration(tmp_path):
    tensors = with_heads("classifier")
    kind = {"architectures": ["BertForSequenceClassification"]}
    made_up = read_pretrained(write_hf(tmp_path / "a", tensors, id2label={"0": "LABEL_0", "1": "LABEL_1"}, **kind))
    assert made_up.labels == ("LABEL_0", "LABEL_1", "LABEL_2")
    with pytest.raises(ValueError, match="`id2label` must name each class differently"):
        read_pretrained(write_hf(tmp_path / "b", tensors, id2label={"0": "x", "1": "x", "2": "y"}, **kind))
    again = convert_checkpoint(str(tmp_path / "a"), str(tmp_path / "again"), "huggingface")
    assert again.missing == []
    written = json.loads((tmp_path / "again" / "config.json").read_text())
    assert written["id2label"] == {"0": "LABEL_0", "1": "LABEL_1", "2": "LABEL_2"}, (
        "else it would be one of two classes"
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "roberta"}, r"config\.json: `model_type` must be 'bert' for BERT\. Received: 'roberta'"),
        ({"position_embedding_type": "relative_key"}, "`position_embedding_type` must be 'absolute'"),
        ({"is_decoder": True}, "`is_decoder` must be False"),
        ({"hidden_act": "quick_gelu"}, r"`hidden_act` must be one of .*Received: 'quick_gelu'"),
        ({"hidden_size": "8"}, r"config\.json: `hidden_size` must be of type int"),
        ({"num_attention_heads": 3}, "must be a multiple of `num_heads`"),
        (
            {"vocab_size": 41},
            r"'embeddings\.word_embeddings\.weight' must have the shape .*\(41, 8\).*Received: \(40, 8\)",
        ),
    ],
)
def test_a_folder_that_cannot_be_loaded_is_refused_with_the_reason(change, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        read_pretrained(write_hf(tmp_path / "hf", hf_encoder(), **change))


def test_damaged_and_missing_files_are_named(tmp_path):
    folder = tmp_path / "hf"
    source = write_hf(folder, hf_encoder())
    data = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(data[:-10])
    with pytest.raises(ValueError, match=r"model\.safetensors: the weights cannot be read"):
        read_pretrained(source)
    (folder / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"must name a folder that holds a BERT: config\.json"):
        read_pretrained(source)


def _safetensors(header, length=None):
    text = json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + bytes(24)


@pytest.mark.parametrize(
    "data",
    [
        _safetensors({}, length=1 << 62),
        _safetensors({}, length=3 << 30),
        _safetensors({"weight": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 24]}}),
        _safetensors({"weight": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]}}),
        _safetensors({"weight": {"dtype": "F32", "shape": [1 << 40, 0, 1 << 40], "data_offsets": [0, 24]}}),
    ],
    ids=["header of 4 EiB", "header of 3 GiB", "shape", "shape and offsets", "shape with a zero"],
)
def test_weights_that_declare_more_than_they_hold_take_no_memory(data, tmp_path):
    source = write_hf(tmp_path / "hf", hf_encoder())
    (tmp_path / "hf" / "model.safetensors").write_bytes(data)
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"model\.safetensors: the weights cannot be read"):
        read_pretrained(source)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10_000_000


def test_more_layers_than_tensors_are_refused(tmp_path):
    source = write_hf(tmp_path / "hf", hf_encoder(), num_hidden_layers=10**9)
    with pytest.raises(ValueError, match=r"must be those of 1000000000 layers.* Received: \d+ tensors"):
        read_pretrained(source)


def test_activations_and_epsilon_are_read_and_written(tmp_path):
    for number, (theirs, ours) in enumerate(
        (("gelu", "gelu"), ("gelu_new", "gelu_new"), ("gelu_pytorch_tanh", "gelu_new"))
    ):
        source = write_hf(tmp_path / str(number), hf_encoder(), hidden_act=theirs, layer_norm_eps=1e-5)
        config = read_pretrained(source).config
        assert (config.hidden_act, config.layer_norm_epsilon) == (ours, 1e-5)
        assert (config.attention_dropout_rate, config.initializer_range) == (0.2, 0.03)
        convert_checkpoint(source, str(tmp_path / f"{number}_again"), "huggingface")
        assert read_pretrained(str(tmp_path / f"{number}_again")).config == config


def test_tokenizer_files_give_the_same_tokenizer(tmp_path, published_tokenizers):
    tokenizers = pytest.importorskip("tokenizers")
    for do_lower_case, tokenizer in published_tokenizers.items():
        folder = tmp_path / str(do_lower_case)
        folder.mkdir()
        write_tokenizer(tokenizer, HF_CONFIG["max_position_embeddings"], str(folder))
        assert _vocabulary(folder) == (tuple(tokenizer.tokens), do_lower_case)
        settings = json.loads((folder / "tokenizer_config.json").read_text())
        assert settings["do_lower_case"] is do_lower_case
        assert settings["model_max_length"] == HF_CONFIG["max_position_embeddings"]
        fast = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        text = "Héllo, Wörld! Unaffable naïveté 東京 don't " + "x" * 150
        ids, segments = tokenizer.encode_pair(text, "A second one.")
        encoded = fast.encode(text, "A second one.")
        assert (encoded.ids, encoded.type_ids) == (ids, segments)
        # tokenizer.json alone gives the same.
        for name in ("vocab.txt", "tokenizer_config.json"):
            (folder / name).unlink()
        assert _vocabulary(folder) == (tuple(tokenizer.tokens), do_lower_case)


def test_casing_without_settings_is_read_from_the_vocabulary(tmp_path):
    for number, (tokens, uncased) in enumerate(((VOCABULARY, True), ([*VOCABULARY, "Cl"], False))):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "vocab.txt").write_text("\n".join(tokens) + "\n\n")
        assert _vocabulary(folder) == (tuple(tokens), uncased)


def test_a_vocabulary_is_needed_only_for_texts(tmp_path):
    source = write_hf(tmp_path / "hf", hf_encoder(), vocabulary=False)
    pretrained = read_pretrained(source)
    with pytest.raises(ValueError, match=r"must hold a vocabulary \(vocab\.txt\)"):
        pretrained.tokenizer()
    tokenizer = read_pretrained(write_hf(tmp_path / "with", hf_encoder())).tokenizer()
    assert isinstance(tokenizer, WordPieceTokenizer)
    assert tokenizer.tokens == tuple(VOCABULARY)


def test_an_output_folder_appears_whole_or_not_at_all(tmp_path, monkeypatch):
    source = write_hf(tmp_path / "hf", hf_encoder())
    convert_checkpoint(source, str(tmp_path / "out"), "huggingface")
    with pytest.raises(FileExistsError, match="`output_dir` must be a new or an empty folder"):
        convert_checkpoint(source, str(tmp_path / "out"), "huggingface")
    shutil.rmtree(tmp_path / "out")
    (tmp_path / "out").mkdir()

    def fail(*_):
        raise RuntimeError("the disk is gone")

    with monkeypatch.context() as patched:
        patched.setattr(huggingface, "write_tokenizer", fail)
        with pytest.raises(RuntimeError, match="the disk is gone"):
            convert_checkpoint(source, str(tmp_path / "out"), "huggingface")
    assert [path.name for path in tmp_path.iterdir()] == ["hf"]
    convert_checkpoint(source, str(tmp_path / "out"), "huggingface")


def test_models_that_transformers_does_not_have_are_refused(tmp_path):
    source = write_hf(tmp_path / "hf", with_heads("classifier"), architectures=["BertForSequenceClassification"])
    model, pretrained = load_pretrained(source)
    model.pooling = "mean"
    with pytest.raises(ValueError, match="`pooling` cls to be written"):
        save_pretrained(model, str(tmp_path / "out"))
    with pytest.raises(ValueError, match="`output_format` must be one of huggingface, google, keras_hub"):
        save_pretrained(model, str(tmp_path / "out"), "onnx")
    with pytest.raises(ValueError, match=r"`model` must be one of bert_tf\.models"):
        save_pretrained(pretrained, str(tmp_path / "out"))
