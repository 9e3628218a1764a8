"""The evaluation of a run on records or on a labelled file."""

from typing import Any

from bert_tf.configs import FinetuningConfig, PretrainingConfig
from bert_tf.objectives.objective import pretraining_objective
from bert_tf.runs import folder as run_folder
from bert_tf.tasks import task_of
from bert_tf.training.choose_engine import make_engine
from bert_tf.training.finetuning import score
from bert_tf.utils.arguments import renamed
from data_pipelines.finetuning.labelled import read_examples, read_part
from data_pipelines.input.record_folder import RecordFolder


def evaluate(
    run_dir: str,
    eval_data: str | None = None,
    *,
    batch_size: int = 128,
    part: str | None = None,
    strict: bool = False,
) -> dict[str, Any]:
    """Return the losses (nats) and metrics of a run's model on all of `eval_data`, computed on one device in float32.

    Args:
        run_dir: the run's folder.
        eval_data: for a pre-trained model a record folder; for a fine-tuned one a file of labelled examples.
        batch_size: the number of rows to evaluate at a time. Masks are drawn batch by batch, so the metrics of a
            pre-trained model change a little with it.
        part: the part (`train`, `eval` or `test`) of the run's own file to evaluate on instead; only a run made with
            `--split` has parts.
        strict: whether to raise an error for an answer that is not found at its `answer_start`.

    Raises:
        FileNotFoundError: a file or folder is missing or incomplete.
        ValueError: data and model do not agree, or not exactly one of `eval_data` and `part` is given.
    """
    if (eval_data is None) == (part is None):
        raise ValueError(f"one of `eval_data` and `part` must be given. Received: {eval_data!r} and {part!r}")
    model, description, tokenizer = run_folder.load_run(run_dir)
    if description.task == "pretraining":
        if eval_data is None:
            raise ValueError(f"`part` needs a run made with --split. Received: {run_dir!r}, which was pre-trained")
        with renamed(path="eval_data"):
            folder = RecordFolder(eval_data, tokenizer=tokenizer)
        description.model.check_fits(tokenizer.vocab_size, folder.max_seq_length)
        masking = PretrainingConfig.from_dict(description.experiment).eval_masking
        data = folder.evaluation_dataset(masking, batch_size)
        with folder.naming_bad_records():
            return make_engine(strategy="one_device").make_evaluation(model, pretraining_objective())(data)
    config = FinetuningConfig.from_dict(description.experiment).task
    if eval_data is not None:
        with renamed(path="eval_data"):
            examples = read_examples(eval_data, config, strict=strict)
    else:
        examples = read_part(config, description.data, str(part))
    return score(
        model,
        task_of(config),
        examples,
        labels=description.labels,
        tokenizer=tokenizer,
        engine=make_engine(strategy="one_device"),
        batch_size=batch_size,
    )
