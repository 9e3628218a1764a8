"""Bad values of the benchmarks' flags stop them before anything is made, with the flag and the value."""

import pytest
from launch_many import launch_many

READ, PREPARE, VOCABULARY = (f"experiments.benchmarks.{name}" for name in ("read_data", "prepare_data", "create_vocab"))
DEDUPLICATE = "experiments.benchmarks.deduplicate"
GPU, STEP = "experiments.benchmarks.gpu_race", "experiments.benchmarks.jax_step"
SCORES = [
    "experiments.benchmarks.finetune_results",
    *(f"--{name}=out" for name in ("data_dir", "weights", "venvs", "work_dir", "output")),
]

LOAD = [
    "experiments.benchmarks.load",
    *("--weights=absent", "--sentences=absent.tsv", "--work_dir=out"),
]

CASES = {
    "a task that is not raced": ([*SCORES, "--tasks=mrpc,cola"], ["--tasks", "cola"]),
    "nobody of this name": ([*SCORES, "--implementations=torch"], ["--implementations", "torch"]),
    "a seed twice": ([*SCORES, "--seeds=0,0"], ["--seeds", "'0,0'"]),
    "a seed of random weights that is no number": ([*SCORES, "--random_seeds=one"], ["--random_seeds", "'one'"]),
    "no folder to work in": ([READ], ["--work_dir"]),
    "too few rows for a batch of all lanes": ([READ, "--work_dir=out", "--rows=1023"], ["rows", "1023"]),
    "no time to read": ([READ, "--work_dir=out", "--seconds=0"], ["seconds", "0"]),
    "no round": ([PREPARE, "--work_dir=out", "--venvs=out", "--rounds=0"], ["rounds", "0"]),
    "no peers": ([PREPARE, "--work_dir=out"], ["--venvs"]),
    "a size that is no number": ([PREPARE, "--work_dir=out", "--venvs=out", "--megabytes=many"], ["megabytes", "many"]),
    "memory of a size that is no number": (
        [PREPARE, "--work_dir=out", "--venvs=out", "--memory_megabytes=20,many"],
        ["--memory_megabytes", "'many'"],
    ),
    "text that is not there": ([VOCABULARY, "--work_dir=out", "--input=absent.txt"], ["absent.txt"]),
    "no documents": ([DEDUPLICATE, "--input=absent.txt", "--documents=0"], ["documents", "0"]),
    "a model that is not raced": ([GPU, "--output=out", "--models=bert_base,bert_huge"], ["--models", "bert_huge"]),
    "no length": ([GPU, "--output=out", "--lengths="], ["--lengths"]),
    "no step": ([STEP, "--steps=0"], ["steps", "0"]),
    "a backend that is not JAX": ([STEP, "--steps=1"], ["KERAS_BACKEND=tensorflow"]),
    "a loss that the peer lacks": (
        [
            *("experiments.benchmarks.rerank", f"--data={__file__}", f"--weights={__file__}", "--work_dir=out"),
            *("--peer_python=python", "--loss=listnet"),
        ],
        ["--loss", "'listnet'", "softmax, binary"],
    ),
    "no environments for the peers of pre-training": (
        ["experiments.benchmarks.pretraining", "--work_dir=out", "--only=keras_hub"],
        ["--venvs", "keras_hub, bert_tf's recipe"],
    ),
    "a recipe that is not compared": (
        ["experiments.benchmarks.pretraining", "--work_dir=out", "--compare=recipes", "--only=keras_hub"],
        ["--only", "optimizer.name=lamb", "keras_hub"],
    ),
    "no models to fine-tune": (
        ["experiments.benchmarks.pretraining_scores", "--work_dir=absent", "--data_dir=absent", "--output=out"],
        ["--work_dir", "results.json", "'absent'"],
    ),
    "a task that is not fine-tuned": (
        [
            *("experiments.benchmarks.pretraining_scores", "--work_dir=absent", "--data_dir=absent", "--output=out"),
            "--tasks=cola",
        ],
        ["--tasks", "cola"],
    ),
    "no pairs to learn from": (
        [
            *("experiments.benchmarks.seq2seq", "--train=absent.tsv", f"--test={__file__}", f"--weights={__file__}"),
            *("--venvs=out", "--work_dir=out"),
        ],
        ["--train", "absent.tsv"],
    ),
    "no folder of a checkpoint": (
        ["experiments.benchmarks.rescoring", "--checkpoint_dir=absent", "--work_dir=out"],
        ["--checkpoint_dir", "corpus/train.txt", "'absent'"],
    ),
    "too few lists": (
        ["experiments.benchmarks.rescoring", "--checkpoint_dir=absent", "--work_dir=out", "--sentences=9"],
        ["sentences", "10", "9"],
    ),
    "no texts for a server": (
        ["experiments.benchmarks.serve_load", "--url=http://127.0.0.1:1", "--texts=absent.txt"],
        ["absent.txt"],
    ),
    "no clients": (
        ["experiments.benchmarks.serve_load", "--url=http://127.0.0.1:1", f"--texts={__file__}", "--clients=1,0"],
        ["--clients", "at least 1", "1,0"],
    ),
    "a server that is not raced": ([*LOAD, "--implementations=onnx,torch"], ["--implementations", "torch"]),
    "no clients of any server": ([*LOAD, "--clients=0"], ["--clients", "at least 1", "0"]),
    "no environment for the peer's server": (LOAD, ["--venvs", "--peer_python"]),
    "no sentences for the servers": ([*LOAD, "--implementations=onnx"], ["absent.tsv"]),
    "one repetition": ([VOCABULARY, "--work_dir=out", "--repetitions=1"], ["repetitions", "1"]),
}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("arguments")
    results = launch_many([command for command, _ in CASES.values()], folder)
    return folder, dict(zip(CASES, results, strict=True))


@pytest.mark.parametrize("name", CASES)
def test_bad_values_are_reported(results, name):
    folder, of_cases = results
    result = of_cases[name]
    assert result.returncode != 0
    assert "Traceback" not in result.stderr
    for part in CASES[name][1]:
        assert part in result.stderr
    assert not (folder / "out").exists()
