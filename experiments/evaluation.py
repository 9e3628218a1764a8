"""The evaluation of a run on records or on a labelled file."""

from collections.abc import Sequence
from typing import Any

from bert_tf.configs import FinetuningConfig, PretrainingConfig
from bert_tf.configs.base import check_choice
from bert_tf.configs.generation_metrics import GENERATION_METRICS
from bert_tf.configs.tasks import Seq2SeqConfig
from bert_tf.objectives.objective import pretraining_objective
from bert_tf.runs import folder as run_folder
from bert_tf.scoring.seq2seq import check_packages
from bert_tf.tasks import trainable_of
from bert_tf.tasks.base import member_named
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
    generation_metrics: Sequence[str] | None = None,
    beams: int | None = None,
    task: str | None = None,
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
        generation_metrics: for a run of sequence to sequence, the metrics of generated texts to compute; None for those
            that the run computed in training.
        beams: the number of hypotheses of the beam search that generates; None for that of the run.
        task: for a run of several tasks, the name of the one to evaluate; None for all, each with a file of its own.

    Raises:
        FileNotFoundError: a file or folder is missing or incomplete.
        ValueError: data and model do not agree, or not exactly one of `eval_data` and `part` is given.
    """
    if (eval_data is None) == (part is None):
        raise ValueError(f"one of `eval_data` and `part` must be given. Received: {eval_data!r} and {part!r}")
    for metric in generation_metrics or ():
        check_choice("generation_metrics", metric, GENERATION_METRICS)
    with renamed(metrics="generation_metrics"):
        check_packages(generation_metrics or ())
    model, description, tokenizer = run_folder.load_run(run_dir)
    if generation_metrics and description.task != "seq2seq":
        raise ValueError(
            "`generation_metrics` needs a run of sequence to sequence. "
            f"Received: {', '.join(generation_metrics)} for {run_dir!r}, a run of {description.task}"
        )
    if description.task == "pretraining":
        if eval_data is None:
            raise ValueError(f"`part` needs a run made with --split. Received: {run_dir!r}, which was pre-trained")
        with renamed(path="eval_data"):
            folder = RecordFolder(eval_data, tokenizer=tokenizer)
        description.model.check_fits(tokenizer.vocab_size, folder.max_seq_length)
        pretraining = PretrainingConfig.from_dict(description.experiment)
        data = folder.evaluation_dataset(pretraining.eval_masking, batch_size, mixture=pretraining.eval_mixture)
        with folder.naming_bad_records():
            return make_engine(strategy="one_device").make_evaluation(model, pretraining_objective())(data)
    experiment = FinetuningConfig.from_dict(description.experiment)
    config = experiment.task
    if beams is not None and isinstance(config, Seq2SeqConfig):
        config = config.replace(generation_beams=beams)
    trainable, labels = trainable_of(config), description.labels
    examples = None if eval_data is not None else read_part(config, description.data, str(part))
    if task is not None:
        member = member_named(trainable, labels, task)
        trainable, labels, model = member.task, member.labels, member.model_in(model)
        config, examples = member.task.config, examples and examples.of_task(task)
    if examples is None:
        with renamed(path="eval_data"):
            examples = read_examples(str(eval_data), config, strict=strict)

    def metrics_of(name: str) -> Sequence[str]:
        return experiment.generation_metrics_of(task or name) if generation_metrics is None else generation_metrics

    return score(
        model,
        trainable,
        examples,
        labels=labels,
        tokenizer=tokenizer,
        engine=make_engine(strategy="one_device"),
        batch_size=batch_size,
        generation_metrics=metrics_of,
    )
