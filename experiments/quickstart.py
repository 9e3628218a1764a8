"""Go from raw text to a served BERT with one command (`make quickstart`).

The stages are: corpus, vocabulary and records, pre-training with an evaluation on held-out documents, fine-tuning (once
more from random weights, as a control), and exports that fresh processes query. Every stage calls the function that the
command of its name calls. All metrics go to `OUTPUT_DIR/summary.json`.

```bash
bert-tf quickstart --corpus 'docs/*.txt'
```
"""

import importlib.util
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from absl import flags

from bert_tf.configs import FinetuningConfig, PretrainingConfig
from bert_tf.utils import files, launching, quiet_imports
from bert_tf.utils.arguments import renamed, renamed_items
from bert_tf.utils.file_patterns import matching_files
from data_pipelines.corpora.documentation import python_documentation
from data_pipelines.corpora.documents import is_held_out, write_documents
from data_pipelines.corpora.readers import read_documents
from data_pipelines.create_pretraining_data import HELD_OUT_FOLDER, create_pretraining_data
from data_pipelines.finetuning import documentation_packages
from data_pipelines.records.manifest import PreparationConfig
from data_pipelines.vocabulary import create_vocab
from experiments import engine_flag, launch

NUM_SERVED_TEXTS = 50
NUM_EXAMPLES = 3
SUMMARY_FILE = "summary.json"
# Marks a folder as made by a quickstart, so that a later one may replace its files.
MARKER_FILE = ".quickstart"
REPORT_FILE = "report.html"
_FILES = (SUMMARY_FILE, REPORT_FILE, "corpus.txt", "vocab.txt")
_FOLDERS = ("labelled", "records", "pretrained", "classifier", "from_scratch", "served")


class Quickstart:
    """The stages of the quickstart. Each leaves its files in `output_dir` and its metrics in `summary`.

    Args:
        output_dir: the folder for all files; those of an earlier quickstart are replaced.
        pretraining: the experiment of pre-training.
        finetuning: the experiment of fine-tuning; its `model` is that of the control from random weights.
    """

    def __init__(self, output_dir: str, pretraining: PretrainingConfig, finetuning: FinetuningConfig) -> None:
        self.output_dir = output_dir
        self.pretraining = pretraining
        self.finetuning = finetuning
        self.summary: dict[str, Any] = {"seconds": {}}

    def path(self, *parts: str) -> str:
        """Return a path in the output folder."""
        return os.path.join(self.output_dir, *parts)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Print the name of a stage, and record how many seconds it takes."""
        print(f"\n== {name}", flush=True)
        start = time.monotonic()
        yield
        self.summary["seconds"][name] = round(time.monotonic() - start, 1)

    def check(self, corpus: str | None, labelled: str | None, *, holdout: float, vocab_size: int, length: int) -> None:
        """Check the inputs of all stages, before anything is made or replaced.

        Raises:
            FileNotFoundError: `corpus` or `labelled` matches no file.
            ValueError: a file, a size or `holdout` is not usable; the message names the argument.
        """
        from data_pipelines.finetuning.labelled import read_examples

        if not 0.0 < holdout < 1.0:
            raise ValueError(f"`holdout` must be above 0 and below 1. Received: {holdout}")
        if importlib.util.find_spec("tensorflow_text") is None:
            raise ValueError("the exports need TensorFlow Text: pip install 'bert_tf[text]'")
        self.pretraining.model.check_fits(vocab_size, max(length, self.finetuning.task.max_seq_length))
        self.finetuning.model.check_fits(vocab_size, self.finetuning.task.max_seq_length)
        with renamed(patterns="corpus"):
            paths = matching_files(corpus) if corpus is not None else []
        if labelled is not None:
            if labelled.count(",") != 1:
                raise ValueError(f"`labelled` must be two files, such as train.tsv,dev.tsv. Received: {labelled!r}")
            for path in labelled.split(","):
                with renamed(path="labelled"):
                    read_examples(path, self.finetuning.task)
                paths.append(path)
        own = os.path.join(os.path.abspath(self.output_dir), "")
        for path in paths:
            if os.path.abspath(path).startswith(own):
                raise ValueError(f"`output_dir` is replaced, so no input may be in it. Received: {path!r}")

    def start(self) -> None:
        """Make the folder, and remove the files of an earlier quickstart, so that none passes for one of this run.

        Raises:
            OSError: the folder cannot be written to.
            ValueError: the folder holds files with the quickstart's names that no quickstart made.
        """
        import tensorflow as tf

        with renamed(folder="output_dir"):
            files.require_writable_folder(self.output_dir)
        found = [name for name in (*_FILES, *_FOLDERS) if files.exists(self.path(name))]
        if found and not files.exists(self.path(MARKER_FILE)):
            raise ValueError(
                f"`output_dir` holds {found[0]!r}, which no quickstart made; choose another folder. "
                f"Received: {self.output_dir!r}"
            )
        files.write_text(self.path(MARKER_FILE), "made by `bert-tf quickstart`, and replaced by its next run\n")
        for name in found:
            remove = tf.io.gfile.rmtree if name in _FOLDERS else tf.io.gfile.remove
            remove(self.path(name))

    def write_corpus(self, corpus: str | None, labelled: str | None, holdout: float) -> tuple[str, str]:
        """Write the corpus to one text file, and return the training and the evaluation file of the labelled task."""
        modules = python_documentation() if corpus is None or labelled is None else []
        documents: Any = (module.document for module in modules)
        if corpus is not None:
            documents = renamed_items(read_documents(corpus), patterns="corpus")
        print(write_documents(documents, self.path("corpus.txt")))
        if labelled is not None:
            train_file, eval_file = labelled.split(",")
            return train_file, eval_file
        task = documentation_packages.package_task(modules, holdout)
        print(task)
        files.make_folder(self.path("labelled"))
        return documentation_packages.write_package_task(task, self.path("labelled"))

    def write_records(self, vocab_size: int, max_seq_length: int, *, holdout: float, dupe_factor: int) -> None:
        """Write the vocabulary and the records of the corpus, with the held-out documents in a folder of their own."""
        from bert_tf.tokenization.wordpiece import WordPieceTokenizer

        vocab_file = self.path("vocab.txt")
        create_vocab(read_documents(self.path("corpus.txt")), vocab_size, output=vocab_file, holdout=holdout)
        manifest = create_pretraining_data(
            read_documents(self.path("corpus.txt")),
            WordPieceTokenizer(vocab_file),
            self.path("records"),
            config=PreparationConfig(
                max_seq_length=max_seq_length, dupe_factor=dupe_factor, seed=self.pretraining.train.seed
            ),
            holdout=holdout,
        )
        print(manifest.statistics)

    def pretrain(self) -> None:
        """Pre-train on the documents that are not held out, and evaluate on those that are."""
        from bert_tf.training.choose_engine import make_engine
        from bert_tf.training.pretraining import pretrain
        from data_pipelines.input.record_folder import RecordFolder

        train_records = RecordFolder(self.path("records"))
        metrics = pretrain(
            self.pretraining,
            train_records,
            RecordFolder(self.path("records", HELD_OUT_FOLDER), tokenizer=train_records.tokenizer),
            run_dir=self.path("pretrained"),
            engine=make_engine(strategy="one_device"),
        )
        random = metrics.pop("next_sentence_random")
        self.summary |= metrics | {"next_sentence_majority": max(random, 1.0 - random)}

    def finetune(self, train_file: str, eval_file: str) -> None:
        """Fine-tune the pre-trained encoder, and the same architecture from random weights as a control."""
        from bert_tf.tokenization.wordpiece import WordPieceTokenizer
        from bert_tf.training.choose_engine import make_engine
        from bert_tf.training.finetuning import finetune
        from data_pipelines.finetuning.labelled import read_examples

        train = read_examples(train_file, self.finetuning.task)
        evaluation = read_examples(eval_file, self.finetuning.task)
        classifier = finetune(
            self.finetuning,
            train,
            evaluation,
            run_dir=self.path("classifier"),
            engine=make_engine(strategy="one_device"),
            init_checkpoint=self.path("pretrained"),
        )
        control = finetune(
            self.finetuning,
            train,
            evaluation,
            run_dir=self.path("from_scratch"),
            engine=make_engine(strategy="one_device"),
            tokenizer=WordPieceTokenizer(self.path("vocab.txt")),
        )
        labels = [example.label for example in evaluation.examples]
        self.summary |= {
            "classification_accuracy": classifier["accuracy"],
            "from_scratch_accuracy": control["accuracy"],
            "majority_accuracy": max(labels.count(label) for label in set(labels)) / len(labels),
            "classification_examples": len(labels),
        }

    def serve(self, eval_file: str) -> None:
        """Export both models, query them in fresh processes, and compare their answers with those of the predictor."""
        from bert_tf.serving.export import export_saved_model
        from bert_tf.serving.predictor import load
        from data_pipelines.finetuning.labelled import read_examples

        examples = read_examples(eval_file, self.finetuning.task).examples[:NUM_SERVED_TEXTS]
        texts = [example.text for example in examples]
        cloze = self._cloze_sentences()
        questions = {"classifier": texts, "pretrained": [sentence for sentence, _ in cloze]}
        processes = {}
        answers = {}
        # Whatever asks an export does not filter what TensorFlow writes at its start.
        with quiet_imports.without_noise():
            for name, lines in questions.items():
                export = export_saved_model(self.path(name))
                files.write_text(self.path("served", f"{name}.txt"), "".join(f"{line}\n" for line in lines))
                command = [sys.executable, "-P", "-m", "experiments.query_saved_model", f"--saved_model={export}"]
                command += [f"--input={self.path('served', f'{name}.txt')}"]
                command += [f"--output={self.path('served', f'{name}.jsonl')}"]
                processes[name] = subprocess.Popen(command)
            predictor = load(self.path("classifier"))
            predicted = predictor.classify(texts)
            for name, process in processes.items():
                if process.wait():
                    raise OSError(
                        f"the SavedModel of {name!r} failed in a fresh process with exit code {process.returncode}"
                    )
                answers[name] = files.read_json_lines(self.path("served", f"{name}.jsonl"))
        self.summary["export_max_abs_difference"] = max(
            abs(served - predictor_probability)
            for answer, prediction in zip(answers["classifier"], predicted, strict=True)
            for served, predictor_probability in zip(
                answer["probabilities"], prediction["probabilities"].values(), strict=True
            )
        )
        print("\nThe exported classifier answers:")
        for example, answer in list(zip(examples, answers["classifier"], strict=True))[:NUM_EXAMPLES]:
            print(f"  {example.text[:150]}")
            print(f"    -> {answer['labels']} ({max(answer['probabilities']):.2f}); it is {example.label}")
        print("\nThe exported pre-trained model fills the mask:")
        for (sentence, word), answer in zip(cloze, answers["pretrained"], strict=True):
            guesses = zip(answer["tokens"][0], answer["probabilities"][0], strict=True)
            print(f"  {sentence}\n    -> {', '.join(f'{p} {q:.2f}' for p, q in guesses)}; it was {word}")

    def _cloze_sentences(self) -> list[tuple[str, str]]:
        """Return held-out sentences of moderate length with their middle word masked, and that word; one a document."""
        holdout = self.summary["holdout"]
        found: list[tuple[str, str]] = []
        for document in read_documents(self.path("corpus.txt")):
            if not is_held_out(document, holdout):
                continue
            for sentence in document:
                words = sentence.split()
                middle = len(words) // 2
                if 9 <= len(words) <= 20 and words[middle].isalpha() and len(words[middle]) > 3:
                    masked = [*words[:middle], "[MASK]", *words[middle + 1 :]]
                    found.append((" ".join(masked), words[middle]))
                    break
            if len(found) == NUM_EXAMPLES:
                break
        return found

    def finish(self) -> None:
        """Write the summary, and print it as a table."""
        import keras
        import numpy as np
        import tensorflow as tf

        summary = self.summary
        summary["seconds"]["total"] = round(sum(summary["seconds"].values()), 1)
        summary["versions"] = {
            "python": platform.python_version(),
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
            "numpy": np.__version__,
        }
        files.write_json(self.path(SUMMARY_FILE), summary)
        gap = summary["unigram_entropy"] - summary["masked_lm_loss"]
        rows = [
            ("masked-LM loss, held-out documents", f"{summary['masked_lm_loss']:.3f} nats"),
            ("  a unigram model's loss", f"{summary['unigram_entropy']:.3f} nats ({gap:.2f} more)"),
            ("masked-LM accuracy", f"{summary['masked_lm_accuracy']:.3f}"),
            ("next-sentence accuracy", f"{summary['next_sentence_accuracy']:.3f}"),
            ("  always the more frequent answer", f"{summary['next_sentence_majority']:.3f}"),
            ("classification accuracy, pre-trained", f"{summary['classification_accuracy']:.3f}"),
            ("  the same from random weights", f"{summary['from_scratch_accuracy']:.3f}"),
            ("  always the most frequent label", f"{summary['majority_accuracy']:.3f}"),
            ("largest difference of served and predicted", f"{summary['export_max_abs_difference']:.1e}"),
        ]
        rows += [(f"seconds: {name}", f"{seconds:.0f}") for name, seconds in summary["seconds"].items()]
        print()
        for name, value in rows:
            print(f"{name:<46} {value}")
        print(f"\nAll metrics: {self.path(SUMMARY_FILE)}")

    def report(self, eval_file: str) -> None:
        """Write a page about the three runs, and print its path."""
        from experiments.reports.writing import write_report

        write_report(
            [self.path(name) for name in ("pretrained", "classifier", "from_scratch")],
            self.path(REPORT_FILE),
            eval_data=eval_file,
            records=self.path("records", HELD_OUT_FOLDER),
            perturbations=False,
        )
        print(f"Curves, guesses and errors: {self.path(REPORT_FILE)}")


def define_flags() -> None:
    """Define the flags of this command."""
    engine_flag.define_flag()
    flags.DEFINE_string(
        "corpus",
        None,
        "Globs of your own text files, one sentence a line; by default the documentation of installed packages.",
    )
    flags.DEFINE_string(
        "labelled", None, "Your own two labelled files, train.tsv,dev.tsv, with the columns text and label."
    )
    flags.DEFINE_string(
        "output_dir", "runs/quickstart", "The folder for all files; those of an earlier quickstart are replaced."
    )
    flags.DEFINE_string("config", "quickstart", "The experiment of pre-training: its name or its file.")
    flags.DEFINE_multi_string("set", [], "Change a field of --config, such as train.num_steps=1000; may be repeated.")
    flags.DEFINE_string(
        "finetuning_config", "quickstart_classification", "The experiment of fine-tuning: its name or its file."
    )
    flags.DEFINE_multi_string("set_finetuning", [], "Change a field of --finetuning_config; may be repeated.")
    flags.DEFINE_integer("vocab_size", 8000, "The number of tokens in the vocabulary.")
    flags.DEFINE_integer("max_seq_length", 64, "The number of tokens in a row of the records.")
    flags.DEFINE_integer("dupe_factor", 2, "The number of passes over the documents, each with other sentence pairs.")
    flags.DEFINE_float("holdout", 0.1, "The share of documents that no model trains on.")


def main(_: Sequence[str]) -> None:
    """Read the flags, and run the stages."""
    engine_flag.choose_backend()
    values = flags.FLAGS
    pretraining = launch.load_config(values.config, PretrainingConfig, values.set)
    with renamed(config="finetuning_config"):
        finetuning = launch.load_config(values.finetuning_config, FinetuningConfig, values.set_finetuning)
    run = Quickstart(values.output_dir, pretraining, finetuning)
    run.check(
        values.corpus,
        values.labelled,
        holdout=values.holdout,
        vocab_size=values.vocab_size,
        length=values.max_seq_length,
    )
    run.summary["holdout"] = values.holdout
    run.start()
    with run.stage("corpus"):
        train_file, eval_file = run.write_corpus(values.corpus, values.labelled, values.holdout)
    with run.stage("vocabulary and records"):
        run.write_records(
            values.vocab_size, values.max_seq_length, holdout=values.holdout, dupe_factor=values.dupe_factor
        )
    with run.stage("pre-training"):
        run.pretrain()
    with run.stage("fine-tuning, twice"):
        run.finetune(train_file, eval_file)
    with run.stage("export and serving"):
        run.serve(eval_file)
    run.finish()
    run.report(eval_file)
    launching.suggest(f"bert-tf predict --model_dir {run.path('classifier')} --input texts.txt --output answers.jsonl")
    export = run.path("classifier", "export")
    launching.suggest(
        f"bert-tf serve --export_dir {export}  (pip install 'bert_tf[server]'; then http://localhost:8501/)"
    )


if __name__ == "__main__":
    launching.run(main, define_flags)
