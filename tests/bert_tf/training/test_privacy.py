"""Differentially private fine-tuning: gradients by hand, samples, the accountant, and a whole run that resumes."""

import json
import os
import shutil
import subprocess
import sys
import types
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_corpus import corpus_documents
from small_model import SMALL, write_vocab

from bert_tf.configs import FinetuningConfig, PrivacyConfig, TrainConfig
from bert_tf.configs.tasks import ClassificationConfig, TaggingConfig
from bert_tf.objectives.objective import PrivateGradients
from bert_tf.tasks.encoded import EncodedExamples
from bert_tf.training import privacy
from bert_tf.training.encoded_batches import capacity, poisson_dataset
from bert_tf.training.jax_engine import private_gradients

PRIVATE = PrivacyConfig(enabled=True)


def test_the_gradient_of_each_row_is_clipped_before_they_are_summed():
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(6, 3)).astype("f4"), generator.normal(size=6).astype("f4")
    weights = {"kernel": jnp.array(generator.normal(size=3), "float32"), "bias": jnp.array(0.5)}

    def loss(weights, batch, seeds):
        error = batch["x"] @ weights["kernel"] + weights["bias"] - batch["y"]
        return jnp.sum(jnp.square(error)), jnp.stack([jnp.sum(error), jnp.sum(seeds)])

    gradients, sums = private_gradients.clipped_sum(
        jax.grad(loss, has_aux=True), weights, {"x": x, "y": y}, jnp.arange(6.0), clip_norm=2.0
    )
    errors = x @ np.array(weights["kernel"]) + 0.5 - y
    rows = 2 * errors[:, None] * np.concatenate([x, np.ones((6, 1))], axis=1)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    assert 0 < (norms > 2).sum() < 6
    expected = (rows * np.minimum(1, 2 / norms)).sum(axis=0)
    np.testing.assert_allclose(gradients["kernel"], expected[:3], rtol=1e-5)
    np.testing.assert_allclose(gradients["bias"], expected[3], rtol=1e-5)
    np.testing.assert_allclose(sums, [errors.sum(), 15], rtol=1e-5)


def test_noise_has_its_deviation_and_depends_on_the_seed_and_the_step_alone():
    private = PrivateGradients(clip_norm=0.5, noise_multiplier=3.0, expected_rows=10, seed=(7 << 40) + 5)
    zeros = {"a": jnp.zeros([200, 100]), "b": jnp.zeros([200, 100])}
    noise = private_gradients.noised(zeros, private, jnp.array(4))
    for values in noise.values():
        assert np.std(values) == pytest.approx(0.15, rel=0.02)
        assert abs(np.mean(values)) < 0.005
    assert abs(np.corrcoef(noise["a"].ravel(), noise["b"].ravel())[0, 1]) < 0.03
    again = private_gradients.noised(zeros, private, jnp.array(4))
    np.testing.assert_array_equal(noise["a"], again["a"])
    other_seed = PrivateGradients(clip_norm=0.5, noise_multiplier=3.0, expected_rows=10, seed=5)
    for changed_settings, step in ((private, 5), (other_seed, 4)):
        changed = private_gradients.noised(zeros, changed_settings, jnp.array(step))
        assert abs(np.corrcoef(noise["a"].ravel(), changed["a"].ravel())[0, 1]) < 0.03
    shifted = private_gradients.noised({name: value + 10.0 for name, value in zeros.items()}, private, jnp.array(4))
    np.testing.assert_allclose(shifted["a"], noise["a"] + 1.0, atol=1e-6)


def rows_of(count: int) -> EncodedExamples:
    ids = [[2, 5 + number, 3] for number in range(count)]
    features = {"label_ids": np.zeros(count, np.int32), "label_weights": np.ones(count, np.float32)}
    return EncodedExamples.from_lists(
        ids, [[0] * 3] * count, pad_id=0, max_seq_length=8, bucket_lengths=(8,), example_features=features
    )


def samples(start: int, count: int, rows: int = 100, batch_size: int = 20) -> list[tuple[int, ...]]:
    batches = poisson_dataset(rows_of(rows), batch_size, seed=11, start_step=start).take(count)
    found = []
    for batch in batches.as_numpy_iterator():
        assert batch["input_ids"].shape == (capacity(batch_size), 8)
        real = batch["label_weights"] > 0
        found.append(tuple(batch["input_ids"][real, 1] - 5))
        assert len(set(found[-1])) == len(found[-1])
    return found


def test_each_example_is_in_each_batch_with_the_same_probability():
    found = samples(0, 200)
    sizes = np.array(list(map(len, found)))
    assert sizes.mean() == pytest.approx(20, abs=1)
    assert sizes.std() == pytest.approx(4, abs=0.7)  # binomial: fixed sizes would be 0
    counts = np.bincount(np.concatenate(found), minlength=100)
    assert counts.mean() == pytest.approx(40, abs=2)
    assert 15 < counts.min() <= counts.max() < 70
    assert samples(150, 20) == found[150:170], "a data set that starts later gives the same samples"
    assert all(len(sample) == 7 for sample in samples(0, 3, rows=7, batch_size=9))


def test_the_guarantee_is_that_of_the_accountant():
    pytest.importorskip("dp_accounting")
    train = TrainConfig(num_steps=10_000, batch_size=600)
    config = FinetuningConfig(train=train, privacy=PRIVATE.replace(noise_multiplier=4.0))
    found = privacy.guarantee(config, rows_of(60_000))
    # Abadi et al. 2016, section 3.2: q = 0.01, sigma = 4, 10,000 steps, delta = 1e-5 give at most 1.26, by moments.
    assert 0.9 < found["epsilon"] < 1.26
    assert found["delta"] == 1e-5
    assert found["sampling"] == "Poisson, each example with probability 0.01 in each of 10000 steps"


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (FinetuningConfig(task=TaggingConfig()), r"`task.kind` must be classification with .* Received: 'tagging'"),
        (FinetuningConfig(task=ClassificationConfig(balanced_classes=True)), "`task.balanced_classes` must be false"),
        (
            FinetuningConfig(task=ClassificationConfig(long_texts="windows")),
            "`task.long_texts` must be cut or",
        ),
        (FinetuningConfig(train=TrainConfig(skip_nonfinite=3)), "`train.skip_nonfinite` must be 0"),
        (FinetuningConfig(), r"`engine` must be jax with `privacy.enabled`\. Received: 'tensorflow'"),
    ],
)
def test_what_cannot_be_private_is_refused(config, message):
    with pytest.raises(ValueError, match=message):
        privacy.check(config.replace(privacy=PRIVATE), engine=types.SimpleNamespace(num_devices=1))


RUN = """
import sys
from bert_tf.training import privacy
from bert_tf.training.encoded_batches import capacity, poisson_dataset
privacy.forget_secret = lambda run_dir: None  # so that the run can go on from an older checkpoint
from experiments.main import main
sys.argv = ["bert-tf", *sys.argv[1:]]
main()
"""


@pytest.mark.long
def test_a_private_run_resumes_exactly_and_nothing_it_gives_away_holds_its_texts(tmp_path):
    pytest.importorskip("dp_accounting")
    sentences = [f"zanzibar {text}" for document in corpus_documents(30) for text in document][:40]
    lines = [f"{text}\t{'water' if 'river' in text else 'land'}" for text in sentences]
    (tmp_path / "train.tsv").write_text("\n".join(["text\tlabel", *lines]) + "\n")
    write_vocab(tmp_path / "vocab.txt")
    model = [f"--set=model.{name}={getattr(SMALL, name)}" for name in ("hidden_size", "num_heads", "intermediate_size")]
    train = ["num_steps=6", "checkpoint_every=3", "steps_per_loop=3", "batch_size=8", "precision=float32"]
    command = [
        *("finetune", "--config=classification", "--engine=jax", "--differentially_private", "--train_file=train.tsv"),
        *("--vocab_file=vocab.txt", "--model_dir=run", "--set=model.num_layers=1", *model),
        *(f"--set=train.{setting}" for setting in train),
    ]

    def run(*arguments: str) -> None:
        backend = "jax" if "--engine=jax" in arguments else "tensorflow"
        environment = os.environ | {"JAX_PLATFORMS": "cpu", "KERAS_BACKEND": backend}
        command = [sys.executable, "-c", RUN, *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=environment, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]

    def weights() -> bytes:
        return (tmp_path / "run/checkpoints/step-00000006/bundle.data-00000-of-00001").read_bytes()

    run(*command)
    scores = json.loads((tmp_path / "run/scores.json").read_text())
    assert set(scores) == {"epsilon", "delta"}
    assert (tmp_path / "run" / privacy.SECRET_FILE).exists()
    before = weights()
    shutil.rmtree(tmp_path / "run/checkpoints/step-00000006")
    run(*command)
    assert weights() == before

    run("export-saved-model", "--model_dir=run")
    (card,) = (tmp_path / "run/export").rglob("MODEL_CARD.md")
    text = card.read_text()
    assert f'"epsilon": {scores["epsilon"]}' in text
    assert "Poisson" in text
    secret = (tmp_path / "run" / privacy.SECRET_FILE).read_text().strip()
    given_away = [path for path in (tmp_path / "run/export").rglob("*") if path.is_file()]
    assert len(given_away) > 5
    for path in given_away:
        contents = path.read_bytes().lower()
        assert b"zanzibar" not in contents, path
        assert secret.encode() not in contents, path
        assert [sentence for sentence in sentences if sentence.encode() in contents] == []


def test_the_secret_is_removed_when_the_training_ends(tmp_path):
    first = privacy.secret_of(str(tmp_path))
    assert privacy.secret_of(str(tmp_path)) == first < 2**62
    privacy.forget_secret(str(tmp_path))
    assert list(Path(tmp_path).iterdir()) == []
    assert privacy.secret_of(str(tmp_path)) != first
