import json

import numpy as np
import pytest
from small_checkpoints import HF_CONFIG, VOCABULARY, hf_encoder, rows, with_heads, write_hf

from bert_tf.conversion import keras_hub as conversion
from bert_tf.conversion.convert import convert_checkpoint
from bert_tf.conversion.loading import load_encoder, load_pretrained, load_pretrainer, read_pretrained

keras_hub = pytest.importorskip("keras_hub")


def _close(backbone, encoder, inputs):
    theirs = backbone(
        {
            "token_ids": inputs["input_ids"],
            "padding_mask": inputs["input_mask"],
            "segment_ids": inputs["segment_ids"],
        }
    )
    ours = encoder(inputs)
    here = inputs["input_mask"].astype(bool)
    assert np.abs(theirs["sequence_output"] - ours["sequence_output"])[here].max() < 2e-5
    assert np.abs(theirs["pooled_output"] - ours["pooled_output"]).max() < 2e-5


@pytest.mark.parametrize(
    ("hidden_act", "epsilon", "kind"),
    [
        ("gelu_new", 1e-12, "BertBackbone"),
        ("gelu", 1e-12, "BertBackboneVariant"),
        pytest.param("gelu_new", 1e-3, "BertBackboneVariant", marks=pytest.mark.long),
        pytest.param("relu", 1e-12, "BertBackboneVariant", marks=pytest.mark.long),
    ],
)
def test_a_preset_computes_the_same_as_the_encoder(hidden_act, epsilon, kind, tmp_path):
    # At this scale, the two kinds of GELU, and the two epsilons, differ by far more than the tolerance.
    source = write_hf(tmp_path / "hf", hf_encoder(), hidden_act=hidden_act, layer_norm_eps=epsilon)
    convert_checkpoint(source, str(tmp_path / "preset"), "keras_hub")
    backbone = keras_hub.models.BertBackbone.from_preset(str(tmp_path / "preset"))
    assert type(backbone).__name__ == kind
    encoder = load_encoder(source)
    _close(backbone, encoder, rows())
    # Both the folder and the object can be read back.
    for again in (read_pretrained(str(tmp_path / "preset")), read_pretrained(backbone)):
        original = read_pretrained(source)
        assert again.config.hidden_act == hidden_act
        assert again.config.layer_norm_epsilon == epsilon
        assert again.config.num_heads == HF_CONFIG["num_attention_heads"]
        assert set(again.weights) == set(original.weights)
        for name, value in original.weights.items():
            assert np.array_equal(again.weights[name], value), name
        assert (again.report.missing, again.report.unexpected) == ([], [])


def test_the_preset_holds_the_tokenizer(tmp_path):
    for number, tokens in enumerate((VOCABULARY, [*VOCABULARY[:-1], "E"])):
        source = write_hf(tmp_path / f"hf{number}", hf_encoder())
        (tmp_path / f"hf{number}" / "vocab.txt").write_text("\n".join(tokens))
        preset = str(tmp_path / f"preset{number}")
        convert_checkpoint(source, preset, "keras_hub")
        again = read_pretrained(preset)
        assert again.tokens == tuple(tokens)
        assert again.do_lower_case is (number == 0)
        tokenizer = keras_hub.tokenizers.BertTokenizer.from_preset(preset)
        ids = np.asarray(tokenizer(["Éa abc"])).tolist() if number == 0 else None
        assert ids in (None, [again.tokenizer().encode("Éa abc")])


def test_a_backbone_made_by_keras_hub_is_read(tmp_path):
    backbone = keras_hub.models.BertBackbone(
        vocabulary_size=40,
        num_layers=2,
        num_heads=2,
        hidden_dim=8,
        intermediate_dim=16,
        max_sequence_length=12,
    )
    random = np.random.default_rng(0)
    for variable in backbone.weights:
        if "seed_generator" not in variable.path:
            variable.assign(variable.numpy() + 0.3 * random.standard_normal(variable.shape))
    _close(backbone, load_encoder(backbone), rows())
    backbone.save_to_preset(str(tmp_path / "preset"))
    _close(backbone, load_encoder(str(tmp_path / "preset")), rows())
    with pytest.raises(ValueError, match="no weights for masked_lm, next_sentence"):
        load_pretrainer(backbone)


def test_heads_are_left_out_and_reported(tmp_path):
    source = write_hf(tmp_path / "hf", with_heads("mlm", "nsp"))
    report = convert_checkpoint(source, str(tmp_path / "preset"), "keras_hub")
    assert report.ignored["cls.seq_relationship.weight"] == "KerasHub's backbone has no heads"
    assert read_pretrained(str(tmp_path / "preset")).task == "encoder"
    without = write_hf(tmp_path / "without", with_heads("mlm", pooler=False))
    with pytest.raises(ValueError, match="Missing: pooled_dense"):
        convert_checkpoint(without, str(tmp_path / "out"), "keras_hub")


@pytest.mark.parametrize(("activation", "task"), [(None, "classification"), ("sigmoid", "multi_label")])
def test_the_head_of_a_classifier_is_read(activation, task, tmp_path):
    source = write_hf(tmp_path / "hf", hf_encoder(), hidden_act="gelu_new")
    convert_checkpoint(source, str(tmp_path / "encoder"), "keras_hub")
    backbone = keras_hub.models.BertBackbone.from_preset(str(tmp_path / "encoder"))
    classifier = keras_hub.models.BertTextClassifier(backbone, num_classes=3, activation=activation)
    classifier.save_to_preset(str(tmp_path / "preset"))
    model, pretrained = load_pretrained(str(tmp_path / "preset"))
    assert (pretrained.task, pretrained.labels) == (task, ("LABEL_0", "LABEL_1", "LABEL_2"))
    inputs = rows()
    theirs = classifier(
        {"token_ids": inputs["input_ids"], "padding_mask": inputs["input_mask"]}
        | {"segment_ids": inputs["segment_ids"]}
    )
    ours = model(inputs)
    assert np.abs(theirs - (model.probabilities(ours) if activation else ours)).max() < 1e-5
    assert load_encoder(str(tmp_path / "preset")).count_params() == backbone.count_params()


def test_a_head_without_a_counterpart_is_named(tmp_path, caplog):
    source = write_hf(tmp_path / "hf", hf_encoder(), hidden_act="gelu_new")
    convert_checkpoint(source, str(tmp_path / "encoder"), "keras_hub")
    backbone = keras_hub.models.BertBackbone.from_preset(str(tmp_path / "encoder"))
    keras_hub.models.BertTextClassifier(backbone, num_classes=1).save_to_preset(str(tmp_path / "preset"))
    assert read_pretrained(str(tmp_path / "preset")).task == "encoder"
    assert "the head of a BertTextClassifier (1 outputs, linear) has no counterpart here" in caplog.text
    task = tmp_path / "preset" / "task.json"
    task.write_text(task.read_text().replace("BertTextClassifier", "BertMaskedLM"))
    assert read_pretrained(str(tmp_path / "preset")).task == "encoder"
    assert "the head of a BertMaskedLM has no counterpart here" in caplog.text


def test_a_preset_whose_weights_cannot_fit_is_refused_before_the_model_is_made(tmp_path):
    convert_checkpoint(write_hf(tmp_path / "hf", hf_encoder()), str(tmp_path / "preset"), "keras_hub")
    path = tmp_path / "preset" / "config.json"
    values = json.loads(path.read_text())
    values["config"]["vocabulary_size"] = 1 << 40
    path.write_text(json.dumps(values))
    with pytest.raises(
        ValueError, match=r"the configuration needs \d{13,} weights\. Received: files of weights of \d+"
    ):
        read_pretrained(str(tmp_path / "preset"))


def test_other_models_are_refused(tmp_path):
    with pytest.raises(
        ValueError, match=r"must be a path, a name or a keras_hub BertBackbone\. Received: a builtins\.int"
    ):
        read_pretrained(7)
    (tmp_path / "config.json").write_text(json.dumps({"registered_name": "keras_hub>AlbertBackbone"}))
    with pytest.raises(ValueError, match="must be one of BertBackbone"):
        read_pretrained(str(tmp_path))


def test_a_preset_that_cannot_be_fetched_is_reported(monkeypatch):
    def unreachable(*_, **__):
        raise ConnectionError("no route\nto host")

    monkeypatch.setattr(keras_hub.models.BertBackbone, "from_preset", unreachable)
    with pytest.raises(
        FileNotFoundError, match=r"cannot fetch this preset \(no route to host\).*'bert_tiny_en_uncased'"
    ):
        load_pretrained("bert_tiny_en_uncased")


def test_without_keras_hub_the_message_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, "keras_hub", None)
    conversion.register.cache_clear()
    source = write_hf(tmp_path / "hf", hf_encoder())
    with pytest.raises(ValueError, match=r"pip install 'bert_tf\[hub\]'"):
        convert_checkpoint(source, str(tmp_path / "out"), "keras_hub")
    assert not conversion.is_preset("bert_tiny_en_uncased")


def test_handles_of_kaggle_are_presets(monkeypatch):
    asked = []
    monkeypatch.setattr(conversion, "_read_with", lambda _, preset, source: asked.append((preset, source)))
    read_pretrained("kaggle://keras/bert/keras/bert_tiny_en_uncased")
    assert asked == [("kaggle://keras/bert/keras/bert_tiny_en_uncased",) * 2]
