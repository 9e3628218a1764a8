"""This project's training, on whichever engine the environment names."""

from collections import deque
from collections.abc import Iterator
from functools import partial
from typing import Any

from pretraining_protocol import PretrainingCase, without_next_sentences


class OwnTraining:
    """The training of an experiment on its records, whose batches are made while it runs; a `Training`."""

    def __init__(self, case: PretrainingCase) -> None:
        import keras

        from bert_tf.configs import PretrainingConfig
        from bert_tf.models.pretrainer import BertPretrainer
        from bert_tf.models.weights import named_weights
        from bert_tf.objectives.metrics import log_unigram
        from bert_tf.objectives.objective import pretraining_objective
        from bert_tf.training.batch_shards import BatchShard
        from bert_tf.training.choose_engine import make_engine
        from data_pipelines.input.record_folder import RecordFolder
        from experiments import launch

        schedule = {"num_steps": case.num_steps, "warmup_steps": case.warmup_steps, "batch_size": case.batch_size}
        settings = schedule | {"precision": case.precision, "seed": case.seed}
        changes = [f"train.{name}={value}" for name, value in settings.items()]
        config = launch.load_config(case.experiment, PretrainingConfig, [*case.changes, *changes])
        records, self._held_out = RecordFolder(case.records), RecordFolder(case.held_out_records)
        config = config.replace(model=config.model.replace(vocab_size=records.tokenizer.vocab_size))
        self._config, self._tokenizer, self._held_out_every = config, records.tokenizer, case.held_out_every
        engine = make_engine(strategy="one_device")
        keras.utils.set_random_seed(config.train.seed)
        make_model = partial(BertPretrainer, config.model, dtype=config.train.dtype_policy)
        self._state = engine.make_state(make_model, config.train)
        unigram = log_unigram(records.token_counts(), records.tokenizer.special_ids, config.model.vocab_size)
        if config.model.output_bias_from_unigram:
            named_weights(self._state.model)["masked_lm/output_bias"].assign(unigram)
        objective = pretraining_objective(unigram)
        self._steps = engine.make_steps(self._state, objective, train=config.train, optimizer=config.optimizer)
        self._evaluate = engine.make_evaluation(self._state.model, objective)

        def batches(folder: RecordFolder, start: int) -> Iterator[Any]:
            rows = case.batch_size * case.max_seq_length // folder.max_seq_length

            def dataset(step: int, shard: BatchShard) -> Any:
                found = folder.training_dataset(config.masking, rows, seed=config.train.seed, start_step=step)
                return found if case.next_sentences else found.map(without_next_sentences)

            return engine.batches(dataset, start)

        self._phases = deque([(case.num_steps, partial(batches, records, case.short_steps))])
        if case.short_steps:
            self._phases.appendleft((case.short_steps, partial(batches, RecordFolder(case.short_records), 0)))
        self._step, self._last = 0, 0
        self._next_phase()
        self.parameters = self._state.model.count_params()
        self.versions = {"keras": keras.__version__, "backend": keras.backend.backend()}

    def _next_phase(self) -> None:
        self._last, batches = self._phases.popleft()
        self._batches = batches()

    def run(self, steps: int) -> float:
        """Make the next steps, and return the loss of the last one."""
        while steps > 0:
            if self._step == self._last:
                self._next_phase()
            some = min(steps, self._last - self._step)
            metrics, _ = self._steps(self._batches, some)
            self._step, steps = self._step + some, steps - some
        total, weight = metrics[-1, self._steps.names.index("masked_lm_loss")]
        return float(total / weight)

    def evaluate(self) -> dict[str, float]:
        """Return the loss and accuracy on the held-out records."""
        config = self._config
        batches = self._held_out.evaluation_dataset(config.eval_masking, config.train.eval_batch_size)
        found = self._evaluate(batches.shard(self._held_out_every, 0))
        return {name: found[name] for name in ("masked_lm_loss", "masked_lm_accuracy")}

    def save(self, folder: str) -> None:
        """Write the model in the form of Hugging Face."""
        self._state.model.set_tokenizer(self._tokenizer)
        self._state.model.save_pretrained(folder)
