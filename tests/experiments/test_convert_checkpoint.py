"""The launcher, as a process; what it does is tested in tests/bert_tf/conversion."""

import pytest
from launch_many import launch_many
from small_checkpoints import hf_encoder, read_hf, with_heads, write_hf
from small_model import write_run

CONVERT = "experiments.convert_checkpoint"
CASES = {
    "to google": [CONVERT, "--input=hf", "--format=google", "--output_dir=google"],
    "and back": [CONVERT, "--input=google", "--format=huggingface", "--output_dir=back"],
    "a run": [CONVERT, "--input=run", "--format=huggingface", "--output_dir=of_run"],
    "random heads": [
        CONVERT,
        "--input=bare",
        "--format=huggingface",
        "--task=pretraining",
        "--allow_random_heads",
        "--output_dir=headed",
    ],
}
WRONG = {
    "heads that are not there": (
        [CONVERT, "--input=bare", "--format=huggingface", "--task=pretraining", "--output_dir=none"],
        "--allow_random_heads",
    ),
    "something there": ([CONVERT, "--input=hf", "--format=google", "--output_dir=bare"], "--output_dir must be a new"),
}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("convert")
    write_hf(folder / "hf", with_heads("mlm", "nsp"))
    write_hf(folder / "bare", hf_encoder())
    write_run(folder / "run", "pretraining")
    commands = [*CASES.values(), *(command for command, _ in WRONG.values())]
    return folder, dict(zip([*CASES, *WRONG], launch_many(commands, folder), strict=True))


@pytest.mark.parametrize("name", CASES)
def test_conversion_succeeds_and_reports_every_tensor(results, name):
    _, found = results
    assert found[name].returncode == 0, found[name].stderr
    assert "loaded      encoder/embeddings/word_embeddings/embeddings <- " in found[name].stdout
    assert "0 unexpected" in found[name].stdout


@pytest.mark.parametrize("name", WRONG)
def test_bad_input_is_reported_in_one_line(results, name):
    folder, found = results
    assert found[name].returncode == 2
    assert "Traceback" not in found[name].stderr
    assert WRONG[name][1] in found[name].stderr
    assert not (folder / "none").exists()


def test_the_written_tensors(results):
    folder, _ = results
    tensors = with_heads("mlm", "nsp")
    assert {name: value.tolist() for name, value in read_hf(folder / "back").items()} == {
        name: value.tolist() for name, value in tensors.items()
    }
    assert "cls.seq_relationship.weight" in read_hf(folder / "of_run")
    assert "cls.seq_relationship.weight" in read_hf(folder / "headed")
