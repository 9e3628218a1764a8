"""The fine-tuning of a pre-trained encoder for a labelled task."""

import dataclasses
import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import keras
from absl import logging

from bert_tf.configs import BertConfig, FinetuningConfig
from bert_tf.conversion.pretrained import Pretrained
from bert_tf.examples import DIGESTS, Examples
from bert_tf.models.flops import encoder_step_flops
from bert_tf.runs import folder as run_folder
from bert_tf.runs.descriptions import RunDescription
from bert_tf.runs.result import BestEvaluation, restore_result
from bert_tf.scoring.seq2seq import check_packages
from bert_tf.tasks import Trainable, trainable_of
from bert_tf.tasks.base import Member
from bert_tf.tasks.encoded import EncodedExamples
from bert_tf.tokenization.wordpiece import WordPieceTokenizer
from bert_tf.training import privacy
from bert_tf.training.attention_choice import attention_of
from bert_tf.training.distillation import Distillation, check_teacher_of, kept_heads, read_teacher, student_of
from bert_tf.training.encoded_batches import steps_per_epoch
from bert_tf.training.engine import Engine
from bert_tf.training.held_out import HeldOut, Scorer
from bert_tf.training.loop import Hooks, train_and_evaluate
from bert_tf.training.precision_choice import with_precision
from bert_tf.training.starting_point import initialize, starting_point
from bert_tf.training.training_data import RowsOfTask, TrainingData
from bert_tf.utils import files
from bert_tf.utils.arguments import renamed

SCORES_FILE = "scores.json"


def finetune(
    config: FinetuningConfig,
    train_examples: Examples,
    eval_examples: Examples | None,
    *,
    run_dir: str,
    engine: Engine,
    init_checkpoint: str | None = None,
    tokenizer: WordPieceTokenizer | None = None,
    test_examples: Examples | None = None,
    data: dict[str, Any] | None = None,
    allow_random_heads: bool = False,
    shared_dir: str | None = None,
) -> dict[str, Any]:
    """Fine-tune a model for `config.task`, or resume its fine-tuning, in `run_dir`.

    The result of a run is the weights of its best evaluation with `config.keep_best`, else the last weights. Its scores
    are also written to `run_dir/scores.json`, with all their details.

    Args:
        config: the experiment.
        train_examples: the examples to train on. The classes are the labels of all parts.
        eval_examples: the examples to evaluate on during training; None for no evaluation.
        run_dir: the run's folder.
        engine: the devices and processes.
        init_checkpoint: the pre-trained model whose encoder, vocabulary and casing are used: a run's folder, a folder
            of Hugging Face or Google, a preset of KerasHub, or a name on a hub. None to start from random weights, or
            from layers of a teacher.
        tokenizer: the tokenizer of a start from random weights, whose sizes are `config.model`; else None, as for a
            student that has its teacher's.
        test_examples: examples that the result is scored on once, at the end. Their scores are returned under `test`.
        data: a description of what the run reads, which is kept with it; None for the paths of the examples.
        allow_random_heads: whether a pooler that `init_checkpoint` lacks may start from random weights. The head of the
            task always does, but for a task that goes on with the head of a pre-training (`keeps_head`).
        shared_dir: the folder of what several runs have in common, such as the outputs of a teacher; None for the one
            that holds `run_dir`.

    Returns:
        Loss and scores of the result on `eval_examples`; without evaluation, losses and metrics of the last steps.

    Raises:
        FileNotFoundError: `init_checkpoint` does not exist or is incomplete.
        ValueError: labels, lengths, sizes, teacher or experiment do not agree; the message names them.
        FloatingPointError: the loss or the gradient is not finite.
        Preempted: the process received SIGTERM, and wrote a checkpoint of the last step.
    """
    with renamed(metrics="task.generation_metrics"):
        check_packages(config.generation_metrics)
    engine.check_batch("train.batch_size", config.train.batch_size)
    if config.privacy.enabled:
        privacy.check(config, engine)
    attention = attention_of(config.model, engine, run_dir)
    config = config.replace(train=with_precision(config.train, engine, run_dir))
    trainable = trainable_of(config.task)
    labels = _labels(trainable, train_examples, eval_examples, test_examples)
    members = trainable.members(labels)
    teacher = read_teacher(config.distill, config.task.kind)
    if teacher is not None:
        for member in members:
            check_teacher_of(member.task, teacher, config.distill, member.labels)
    pretrained, tokenizer, encoder = starting_point(
        config,
        members,
        init_checkpoint=init_checkpoint,
        tokenizer=tokenizer,
        allow_random_heads=allow_random_heads,
        teacher=teacher,
    )
    distillation = Distillation(
        config.distill,
        teacher,
        student=encoder,
        tokenizer=tokenizer,
        row_length=config.task.row_length,
        num_segments=config.task.num_segments,
    )
    main_score = config.metric or trainable.main_score(labels)
    rows = [_rows(HeldOut.of(train_examples, member, tokenizer, training=True).rows, engine) for member in members]
    parts = engine.num_devices * config.train.concurrent_parts * config.train.gradient_accumulation_steps
    for of_member in rows:
        of_member.check_batch_size("train.batch_size", config.train.batch_size, parts)
    held_out, test = (
        [HeldOut.of(part, member, tokenizer) for member in members] if part else None
        for part in (eval_examples, test_examples)
    )
    config = config.with_steps(sum(steps_per_epoch(of_member, config.train.batch_size) for of_member in rows))
    train = config.train
    read = _data_read(data, train=train_examples, eval=eval_examples, test=test_examples)
    read |= {"init_checkpoint": init_checkpoint} | distillation.source
    if config.privacy.enabled:
        read[privacy.DESCRIPTION] = privacy.guarantee(config, rows[0])
    description = _description(config, encoder, tokenizer, labels=labels, data=read)
    with run_folder.claimed(run_dir, description, tokenizer, is_chief=engine.is_chief) as lock:
        rows = [
            distillation.with_outputs(
                of_member,
                member.labels,
                folder=os.path.dirname(run_dir.rstrip("/")) if shared_dir is None else shared_dir,
                engine=engine,
                batch_size=train.eval_batch_size,
            )
            for member, of_member in zip(members, rows, strict=True)
        ]
        objectives = [
            distillation.objective(
                member.task.objective(training=True), member.task.imitation(), member.task.target_weights
            )
            for member in members
        ]
        make_rows: Any = RowsOfTask
        if config.privacy.enabled:
            secret = privacy.secret_of(run_dir)
            make_rows = partial(privacy.RandomSamples, secret=secret)
            private = privacy.private_gradients(config, secret)
            objectives = [dataclasses.replace(objective, private=private) for objective in objectives]
        train_data = TrainingData.of(trainable, members, objectives, rows, train_examples, train, make_rows)
        keras.utils.set_random_seed(train.seed)
        make_model = partial(run_folder.model_of, description, train.dtype_policy, attention=attention)
        state = engine.make_state(distillation.model_maker(make_model, train.dtype_policy, config.task.kind), train)
        model = student_of(state.model)
        scorers = [
            Scorer(
                member.model_in(model),
                member.task,
                member.labels,
                tokenizer,
                engine=engine,
                batch_size=train.eval_batch_size,
                generation_metrics=config.generation_metrics_of(member.name),
            )
            for member in members
        ]
        scores_of = partial(_scores, trainable, members, scorers)
        keeps = config.keep_best and engine.is_chief
        best = BestEvaluation(run_dir, model, main_score, keep=keeps, patience=config.patience)
        hooks = Hooks(
            evaluate=partial(_evaluate, scores_of, held_out, main_score) if held_out is not None else None,
            initialize=partial(
                initialize,
                pretrained=pretrained,
                reinitialize_layers=config.reinitialize_layers,
                heads=_kept_heads(trainable, pretrained, labels)
                | {
                    head: head
                    for member in members
                    for head in kept_heads(member.task, teacher, config.distill, labels)
                },
            ),
            after_evaluation=best,
            describe_batch=train_data.describe_batch,
            still_held=lock.check,
            step_flops=partial(encoder_step_flops, encoder, train.batch_size),
        )
        results = train_and_evaluate(
            engine=engine,
            state=state,
            turns=train_data.turns,
            run_dir=run_dir,
            train=train,
            optimizer=config.optimizer,
            hooks=hooks,
            label="fine-tuning",
        )
        if best.best is not None and config.keep_best:
            results = {"best_step": best.best[0]} | best.best[1]
        if config.privacy.enabled:
            privacy.forget_secret(run_dir)
            # Without an evaluation, the results are those of the training examples.
            results = ({} if held_out is None else results) | privacy.scores_of(read[privacy.DESCRIPTION])
        if test is not None:
            # Workers wait here until the chief has written what all of them read.
            engine.require_agreement("step at the end", state.num_updates)
            restore_result(run_dir, model, use_average=train.use_average)
            results = results | {"test": scores_of(test)}
        if engine.is_chief:
            files.write_json(os.path.join(run_dir, SCORES_FILE), results)
        return results


def _labels(trainable: Trainable, train: Examples, *others: Examples | None) -> tuple[str, ...]:
    """Return the labels of all parts, and warn of labels without training examples and of doubtful ones."""
    labels = trainable.labels_of_parts(train, *(part for part in others if part is not None))
    for member in trainable.members(labels):
        own = train.of_task(member.name)
        unseen = sorted(set(member.labels) - member.task.occurring_labels(own.examples))
        if unseen:
            logging.warning(
                "No training example has the label %s: the model cannot learn %s.",
                ", ".join(repr(member.named(label)) for label in unseen),
                "it" if len(unseen) == 1 else "them",
            )
        _warn_of_labels(member, own)
    return labels


def _warn_of_labels(member: Member, examples: Examples) -> None:
    for warning in member.task.label_warnings(member.labels, examples.examples):
        logging.warning("%s: %s", examples.path, warning)


def _data_read(data: dict[str, Any] | None, **parts: Examples | None) -> dict[str, Any]:
    """Return the description of the data, with the digests by which a resumed run recognises it."""
    paths = {name: part.path if part else None for name, part in parts.items() if name != "test"}
    digests = {name: part.digest() for name, part in parts.items() if part is not None}
    return (data or paths) | {DIGESTS: digests}


def _scores(
    trainable: Trainable, members: Sequence[Member], scorers: Sequence[Scorer], held_out: Sequence[HeldOut]
) -> dict[str, Any]:
    """Return the scores of all tasks."""
    found = [scorer(examples) for scorer, examples in zip(scorers, held_out, strict=True)]
    return trainable.joined_scores(dict(zip(members, found, strict=True)))


def _evaluate(
    scores_of: Callable[[Sequence[HeldOut]], dict[str, Any]], held_out: Sequence[HeldOut], main_score: str
) -> dict[str, Any]:
    scores = scores_of(held_out)
    if main_score not in scores:
        raise ValueError(f"`metric` must be one of {', '.join(scores)}. Received: {main_score!r}")
    return scores


def _description(
    config: FinetuningConfig,
    encoder: BertConfig,
    tokenizer: WordPieceTokenizer,
    *,
    labels: Sequence[str],
    data: dict[str, Any],
) -> RunDescription:
    return RunDescription(
        task=config.task.kind,
        model=encoder,
        do_lower_case=tokenizer.do_lower_case,
        tokenizer_options=tokenizer.options,
        vocab_hash=tokenizer.vocab_hash,
        max_seq_length=config.task.max_seq_length,
        labels=tuple(labels),
        experiment=config.to_dict(),
        data=data,
    )


def score(
    model: keras.Model,
    trainable: Trainable,
    examples: Examples,
    *,
    labels: Sequence[str],
    tokenizer: WordPieceTokenizer,
    engine: Engine,
    batch_size: int,
    generation_metrics: Callable[[str], Sequence[str]] = lambda name: (),
) -> dict[str, Any]:
    """Return loss and scores of a fine-tuned model on labelled examples, the same that `finetune` reports.

    Args:
        model: the model of a run, as `run_folder.load_run` returns it.
        trainable: the run's task or tasks.
        examples: the labelled examples.
        labels: the run's labels.
        tokenizer: the run's tokenizer.
        engine: the devices and processes.
        batch_size: number of rows computed at a time.
        generation_metrics: returns the metrics of generated texts to compute too, for the name of a task.

    Raises:
        ValueError: a label is not one of `labels`.
    """
    members = trainable.members(labels)
    found = {}
    for member in members:
        _warn_of_labels(member, examples.of_task(member.name))
        scorer = Scorer(
            member.model_in(model),
            member.task,
            member.labels,
            tokenizer,
            engine=engine,
            batch_size=batch_size,
            generation_metrics=generation_metrics(member.name),
        )
        found[member] = scorer(HeldOut.of(examples, member, tokenizer))
    return trainable.joined_scores(found)


def _kept_heads(trainable: Trainable, pretrained: Pretrained | None, labels: Sequence[str]) -> dict[str, str]:
    return {} if pretrained is None else trainable.kept_heads(pretrained.task, pretrained.labels, own=labels)


def _rows(rows: EncodedExamples, engine: Engine) -> EncodedExamples:
    """Return the examples, padded to one length on a TPU, because it compiles a program for each shape."""
    return rows.in_one_length() if engine.is_tpu else rows
