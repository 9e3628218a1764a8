"""Several tasks on one encoder: whose turn a step is, what it changes, and what a run of them leaves."""

import json
import shutil

import keras
import numpy as np
import pytest
from engine_runs import MODEL as TWO_LAYERS
from engine_runs import _examples, of_tasks
from small_model import TASK_CONFIGS
from small_records import TOKENIZER

from bert_tf.configs import ConfigError, FinetuningConfig, OptimizerConfig, TrainConfig
from bert_tf.configs.multi_task import MemberConfig, MultiTaskConfig
from bert_tf.conversion.loading import read_pretrained
from bert_tf.examples import Examples, ExamplesByTask
from bert_tf.models.weights import named_weights
from bert_tf.tasks import trainable_of
from bert_tf.training.finetuning import finetune
from bert_tf.training.starting_point import initialize
from bert_tf.training.tensorflow_engine.engine import TensorFlowEngine
from bert_tf.training.turns import Turns, TurnSteps, drawn

TRAIN = TrainConfig(
    num_steps=4,
    batch_size=8,
    learning_rate=1e-3,
    warmup_steps=0,
    steps_per_loop=4,
    checkpoint_every=2,
    eval_every=0,
    log_every=2,
    keep_checkpoints=9,
    ema_decay=0.9,
    precision="float32",
    jit_compile=False,
)
MODEL = TWO_LAYERS.replace(num_layers=1)
KINDS = {"topic": "classification", "names": "tagging", "gen": "seq2seq"}


@pytest.fixture(scope="module", autouse=True)
def _eagerly():
    """Functions run without being traced, which takes longer than a few small steps do."""
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


def _config(*names, **fields):
    members = tuple(MemberConfig(name, TASK_CONFIGS[KINDS[name]]) for name in names)
    return FinetuningConfig(model=MODEL, task=MultiTaskConfig(tasks=members, **fields), train=TRAIN, keep_best=False)


def _data(*names):
    return ExamplesByTask.of({name: Examples(_examples(KINDS[name]), f"{name}.tsv") for name in names})


def _finetune(config, data, folder, **options):
    start = {} if "init_checkpoint" in options else {"tokenizer": TOKENIZER}
    return finetune(config, data, data, run_dir=str(folder), engine=TensorFlowEngine(), **start | options)


def _weights(folder):
    return read_pretrained(str(folder)).weights


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of three tasks, and its scores."""
    folder = tmp_path_factory.mktemp("multi") / "run"
    return folder, _finetune(_config(*KINDS), _data(*KINDS), folder)


def test_shares_by_hand():
    def shares(progress=(0.0,), **fields):
        return trainable_of(_config("topic", "names", **fields).task).shares([900, 100], np.array(progress)).tolist()

    assert shares() == [pytest.approx([0.9, 0.1])]
    assert shares(sampling="square_root") == [pytest.approx([0.75, 0.25])]  # 30 and 10
    assert shares(sampling="temperature", temperature=2) == [pytest.approx([0.75, 0.25])]
    assert shares(sampling="uniform") == [[0.5, 0.5]]
    # 900 ** 0.6 = 59.23 and 100 ** 0.6 = 15.85 halfway; 3.898 and 2.512 at the end
    expected = [[0.9, 0.1], [59.23 / 75.08, 15.85 / 75.08], [3.898 / 6.410, 2.512 / 6.410]]
    np.testing.assert_allclose(shares((0.0, 0.5, 1.0), sampling="annealed"), expected, atol=1e-3)


def test_the_task_of_a_step_depends_on_the_seed_and_the_step_alone():
    probabilities = np.tile([0.7, 0.2, 0.1], (2000, 1))
    order = drawn(probabilities, 3)
    assert drawn(probabilities[:500], 3).tolist() == order[:500].tolist()
    assert drawn(probabilities, 4).tolist() != order.tolist()
    np.testing.assert_allclose(np.bincount(order) / 2000, [0.7, 0.2, 0.1], atol=0.03)
    uniform = np.random.RandomState(3).random_sample(2000)
    assert order.tolist() == [0 if u < 0.7 else 1 if u < 0.9 else 2 for u in uniform]


def test_turns_are_runs_of_steps_of_one_task():
    turns = Turns([None, None], np.array([0, 0, 1, 0, 1, 1, 1]))
    assert list(turns.runs(0, 7)) == [(0, 2), (1, 1), (0, 1), (1, 3)]
    assert list(turns.runs(1, 3)) == [(0, 1), (1, 1), (0, 1)]
    assert [turns.steps_before(step) for step in (0, 3, 7)] == [[0, 0], [2, 1], [3, 4]]


def test_a_step_changes_the_encoder_and_the_head_of_its_task_alone():
    engine = TensorFlowEngine()
    make_model, turns = of_tasks(KINDS, [1, 1, 2, 1])
    state = engine.make_state(make_model, TRAIN)
    state.start_averages()
    steps = TurnSteps(engine, state, turns, train=TRAIN, optimizer=OptimizerConfig())
    batches = turns.batches(engine, 0)

    def changed(count):
        before = {name: value.numpy().copy() for name, value in state.variables().items()}
        values, _ = steps(batches, count)
        assert values.shape == (count, len(steps.names), 2)
        after = {name: value.numpy() for name, value in state.variables().items()}
        names = {name.rpartition(":")[2] for name in after if not np.array_equal(before[name], after[name])}
        return {name.split("/")[0] for name in names - {"step"}}

    assert changed(2) == {"encoder", "names"}
    assert {name for name in steps.names if "/" in name} == {"names/tagging_loss", "names/accuracy"}
    assert changed(1) == {"encoder", "gen"}
    assert state.num_updates == 3


def test_every_task_has_its_scores_and_their_mean(run):
    _, scores = run
    main = [scores["topic/accuracy"], scores["names/f1"], scores["gen/token_accuracy"]]
    assert scores["mean_score"] == pytest.approx(np.mean(main))
    assert {"topic/classification_loss", "names/tagging_loss", "gen/perplexity"} <= scores.keys()


def test_a_run_that_stops_goes_on_exactly(run, tmp_path):
    folder, _ = run
    again = tmp_path / "run"
    shutil.copytree(folder, again)
    shutil.rmtree(again / "checkpoints" / "step-00000004")
    (again / "scores.json").unlink()
    lines = (again / "metrics.jsonl").read_text().splitlines()
    kept = [line for line in lines if json.loads(line)["step"] <= 2]
    (again / "metrics.jsonl").write_text("".join(f"{line}\n" for line in kept))
    _finetune(_config(*KINDS), _data(*KINDS), again)
    expected = _weights(folder)
    for name, value in _weights(again).items():
        np.testing.assert_array_equal(value, expected[name], err_msg=name)


def test_one_task_is_trained_as_it_is_alone(tmp_path):
    task = TASK_CONFIGS["classification"]
    several, data = _config("topic"), _data("topic")
    scores = _finetune(several, data, tmp_path / "multi")
    alone = _finetune(several.replace(task=task), data.of_task("topic"), tmp_path / "alone")
    assert scores == {"mean_score": alone["accuracy"]} | {f"topic/{name}": value for name, value in alone.items()}
    expected = _weights(tmp_path / "alone")
    for name, value in _weights(tmp_path / "multi").items():
        np.testing.assert_array_equal(value, expected[name.removeprefix("topic/")], err_msg=name)


def test_a_task_is_added_to_a_run(run):
    pretrained = read_pretrained(str(run[0]))
    names = ("topic", "names", "gen", "new")
    members = [MemberConfig(name, TASK_CONFIGS[KINDS.get(name, "classification")]) for name in names]
    trainable = trainable_of(MultiTaskConfig(tasks=tuple(members)))
    labels = (*pretrained.labels, "new/a", "new/b")
    kept = trainable.kept_heads(pretrained.task, pretrained.labels, own=labels)
    assert set(kept) == {"topic/classification", "names/token_classification", "gen/masked_lm"}
    state = TensorFlowEngine().make_state(lambda: trainable.make_model(MODEL, labels), TRAIN)
    fresh = named_weights(state.model)["new/classification/dense/kernel"].numpy()
    initialize(state, pretrained, 0, heads=kept)
    for name, weight in named_weights(state.model).items():
        old = fresh if name.endswith("kernel") and "new/" in name else pretrained.weights.get(name, 0.0)
        np.testing.assert_array_equal(weight.numpy(), old, err_msg=name)


def test_heads_are_kept_by_name_and_labels():
    trainable = trainable_of(_config(*KINDS).task)
    own = ("topic/a", "topic/b", "names/O", "names/B-X")
    assert trainable.kept_heads("multi_task", ("topic/a", "topic/c"), own=own) == {"gen/masked_lm": "gen/masked_lm"}
    one = trainable.kept_heads("classification", ("a", "b"), own=own)
    assert one == {"topic/classification": "classification", "gen/masked_lm": "masked_lm"}
    assert trainable.kept_heads("classification", ("b", "a"), own=own) == {"gen/masked_lm": "masked_lm"}


def test_a_model_is_saved_loaded_and_made_again(tmp_path):
    make_model, _ = of_tasks(KINDS, [0])
    model = make_model()
    ids = np.ones((2, 6), np.int32)
    inputs = {"input_ids": ids, "next_token_positions": ids[:, :3]}
    expected = model(inputs)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert list(named_weights(loaded)) == list(named_weights(model))
    assert list(named_weights(loaded.members["names"]))[-1] == "token_classification/dense/bias"
    for name, outputs in loaded(inputs).items():
        np.testing.assert_allclose(outputs, expected[name], atol=1e-6)
    again = type(model).from_config(model.get_config())
    assert {id(member.encoder) for member in again.members.values()} == {id(again.encoder)}
    with pytest.raises(ValueError, match=r"^`members` must be at least one model, all with the same encoder"):
        type(model)(model.config, {"a": model.members["topic"], "b": again.members["topic"]})


def test_a_loss_weight_is_a_factor_of_the_training_loss():
    [member] = trainable_of(MultiTaskConfig(tasks=(MemberConfig("a", loss_weight=4.0),))).members(())
    batch = {"label_ids": np.array([0, 1]), "label_weights": np.ones(2, np.float32)}
    objective = member.among_others(member.task.objective(training=True))
    [(total, weight)] = objective.losses(np.zeros((2, 2), np.float32), batch).values()
    assert float(total / weight) == pytest.approx(np.log(2))  # what is reported
    assert {name: float(each) for name, each in objective.weights(batch).items()} == {"a/classification_loss": 0.5}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "`tasks` must hold at least one task"),
        ({"tasks": (MemberConfig("a"), MemberConfig("a"))}, "`tasks` must each have another name.*Received: 'a'"),
        ({"tasks": (MemberConfig("encoder"),)}, "`tasks` must each have another name, none of .*encoder"),
        ({"tasks": (MemberConfig("a"),), "sampling": "often"}, "`sampling` must be one of proportional, "),
        ({"tasks": (MemberConfig("a"),), "sampling": "temperature"}, "`temperature` must be given for"),
        ({"tasks": (MemberConfig("a"),), "temperature": 2.0}, "`temperature` must be given for"),
        (
            {"tasks": (MemberConfig("a"),), "sampling": "temperature", "temperature": 0.5},
            "`temperature` must be at least 1",
        ),
    ],
)
def test_wrong_settings(fields, message):
    with pytest.raises(ConfigError, match=f"^{message}"):
        MultiTaskConfig(**fields)


def test_a_teacher_has_one_task():
    with pytest.raises(ConfigError, match=r"^`distill\.teacher` must be none for several tasks\. Received: 'run'$"):
        _config("topic").override("distill.teacher=run")


def test_wrong_members():
    with pytest.raises(ConfigError, match=r"^`name` must be a letter, .*Received: 'a/b'$"):
        MemberConfig("a/b")
    with pytest.raises(ConfigError, match=r"^`loss_weight` must be at least 1e-06\. Received: 0\.0$"):
        MemberConfig("a", loss_weight=0.0)
    config = TASK_CONFIGS["tagging"].replace(encoder_dropout_rate=0.1)
    with pytest.raises(ConfigError, match=r"^`encoder_dropout_rate` of a must be none, because"):
        MemberConfig("a", config)


def test_settings_of_one_task_by_its_name():
    config = _config(*KINDS).override("task.names.max_seq_length=9").override("task.gen.loss_weight=0.5")
    assert [member.config.max_seq_length for member in config.task.tasks] == [24, 9, 24]
    assert [member.loss_weight for member in config.task.tasks] == [1.0, 1.0, 0.5]
    with pytest.raises(ConfigError, match=r"^unknown field `task\.names\.max_length`"):
        config.override("task.names.max_length=9")
    with pytest.raises(ConfigError, match=r"^`task\.names` has fields of its own"):
        config.override("task.names=9")
