import numpy as np
import pytest
from small_model import write_run

import bert_tf
from bert_tf.conversion.convert import convert_checkpoint
from bert_tf.models.weights import named_weights
from bert_tf.serving.predictor import load
from bert_tf.tokenization.wordpiece import WordPieceTokenizer


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return str(write_run(tmp_path_factory.mktemp("runs") / "run", "pretraining"))


def converted(run, tokens, folder):
    folder.mkdir()
    (folder / "new.txt").write_text("".join(f"{token}\n" for token in tokens), encoding="utf-8")
    convert_checkpoint(run, str(folder / "model"), "huggingface", vocab_file=str(folder / "new.txt"))
    return bert_tf.load_pretrainer(str(folder / "model"))


def test_old_tokens_keep_their_logits_and_new_ones_start_from_means(run, tmp_path):
    old = load(run)
    tokens = [*old.tokenizer.tokens, "millers", "##ers", "日"]
    model = converted(run, tokens, tmp_path / "extended")
    inputs = {
        "input_ids": np.array([old.tokenizer.encode_pair("the old miller [near] the river", None, 24)[0]]),
        "masked_lm_positions": np.array([[1, 2, 5]]),
    }
    logits, before = (np.asarray(one(inputs)["masked_lm_logits"]) for one in (model, old.model))
    assert logits.shape[-1] == len(tokens)
    np.testing.assert_allclose(logits[..., : len(old.tokenizer)], before[..., : len(old.tokenizer)], atol=1e-5)
    for name in ("encoder/embeddings/word_embeddings/embeddings", "masked_lm/output_bias"):
        new, values = (np.asarray(named_weights(one)[name]) for one in (model, old.model))
        pieces = {"millers": ["miller", "##s"], "##ers": ["##e", "##r", "##s"]}
        for index, token in enumerate(tokens[-3:-1], len(tokens) - 3):
            ids = old.tokenizer.convert_tokens_to_ids(pieces[token])
            np.testing.assert_allclose(new[index], values[ids].mean(axis=0), atol=1e-6)
        np.testing.assert_allclose(new[-1], values[: len(old.tokenizer)].mean(axis=0), atol=1e-6)  # it was [UNK]


def test_a_reduced_model_gives_the_same_vectors_and_logits(run, tmp_path):
    old = load(run)
    text = "the old miller"
    used = set(old.tokenizer.tokenize(text))
    tokens = [token for token in old.tokenizer.tokens if token in used or token.startswith("[")]
    small = converted(run, tokens, tmp_path / "reduced")
    positions = {"masked_lm_positions": np.array([[1, 2]])}
    both = []
    for model, tokenizer in ((old.model, old.tokenizer), (small, WordPieceTokenizer.from_tokens(tokens))):
        logits = np.asarray(
            model({"input_ids": np.array([tokenizer.encode_pair(text)[0]])} | positions)["masked_lm_logits"]
        )
        both.append(logits[..., tokenizer.convert_tokens_to_ids(sorted(used))])
    np.testing.assert_allclose(*both, atol=1e-5)


def test_a_vocabulary_of_another_model_is_refused(run, tmp_path):
    with pytest.raises(ValueError, match=r"`vocab_file` must extend or reduce .* of whose 25 tokens 5 are"):
        converted(run, [*("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"), *map(str, range(20))], tmp_path / "other")
    assert not (tmp_path / "other" / "model").exists()
    with pytest.raises(ValueError, match=r"a vocabulary must hold \[PAD\]"):
        converted(run, load(run).tokenizer.tokens[5:], tmp_path / "without")
    with pytest.raises(FileNotFoundError, match="missing"):
        convert_checkpoint(run, str(tmp_path / "none"), "huggingface", vocab_file=str(tmp_path / "missing.txt"))
