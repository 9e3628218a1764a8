"""A client of `bert-tf serve` and of TensorFlow Serving, with the predictor's methods."""

import re
import ssl
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

import numpy as np

from bert_tf.server.asked_signatures import AskedSignatures, same_number
from bert_tf.server.grpc_transport import GrpcTransport
from bert_tf.server.rest_transport import RestTransport
from bert_tf.server.served_version import DEFAULT_SIGNATURE
from bert_tf.serving.methods.base import texts_of
from bert_tf.serving.methods.multiple_choice import choice_examples
from bert_tf.serving.methods.reranking import lists_of_passages, ranked, text_of

_ADDRESS = re.compile(
    r"(?P<scheme>https?|grpcs?)://(?P<host>[^/]+)/v1/models/(?P<name>[^/:]+)"
    r"(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
)

_SEARCHES = "needs to know how vectors are compared, which no signature says: compare the vectors of `embed`"
NOT_SERVED = {
    "predict": "takes the examples of any task: call the method of the model's own task",
    "predictor_with": "returns another predictor: name the task by `Client(url, task=...)`",
    "hypotheses": "returns token ids: `generate` returns the texts",
    "complete": "fills masks in several steps, between which it needs the tokenizer",
    "log_likelihood": "masks each token in turn, for which it needs the tokenizer",
    "perplexity": "masks each token in turn, for which it needs the tokenizer",
    "attention": "returns weights in full precision, and a server gives 8 bits of each, for its page alone",
    **dict.fromkeys(("search", "index", "load_index"), _SEARCHES),
}
"""The methods of the predictor that a client has not, and why: each completes the sentence "It ..."."""


class Client:
    """An export behind the interfaces of TensorFlow Serving, asked as `load` would ask it here.

    >>> client = Client("http://localhost:8501/v1/models/classifier")
    >>> client.classify(["a text"])  # doctest: +SKIP
    [{'label': 'positive', 'probabilities': {'negative': 0.1, 'positive': 0.9}}]

    It has the methods of the predictor that signatures can answer: `classify`, `score`, `tag`, `answer`, `choose`,
    `rerank`, `generate`, `fill_mask` and `embed`. `stream` and `explain` need HTTP and a server that has the run beside
    the export. `NOT_SERVED` lists the others, which need the model itself, with the reason of each.

    Args:
        url: the address of the model, `grpc://localhost:8500/v1/models/classifier` for gRPC, `https` and `grpcs` with
            TLS; `/versions/2` or `/labels/stable` at its end asks one version.
        task: the name of a task of a model for several. None for the only one that has the method that is called.
        api_key: the key of the server, if it needs one.
        timeout: seconds to wait for an answer.
        batch_size: the number of texts in a request.
        retries: how often a request is sent again that the server was too busy for, after the time that it names.
        tls: the settings of TLS; None for those of the system. gRPC takes the certificates that they trust.

    Raises:
        ImportError: the address is one of gRPC, and what it needs is not installed.
        ValueError: the address is not one of a model, or a number is not above 0.
    """

    def __init__(
        self,
        url: str,
        *,
        task: str | None = None,
        api_key: str | None = None,
        timeout: float = 60.0,
        batch_size: int = 256,
        retries: int = 3,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        address = _ADDRESS.fullmatch(url)
        if not address:
            raise ValueError(
                "`url` must be the address of a model, such as http://localhost:8501/v1/models/model or "
                f"grpc://localhost:8500/v1/models/model. Received: {url!r}"
            )
        if batch_size < 1 or timeout <= 0 or retries < 0:
            raise ValueError(
                "`batch_size` must be at least 1, `timeout` above 0 and `retries` at least 0. "
                f"Received: {batch_size}, {timeout} and {retries}"
            )
        self.url = url
        make = GrpcTransport if address["scheme"].startswith("grpc") else RestTransport
        self._transport = make(url, api_key=api_key, timeout=timeout, retries=retries, tls=tls)
        self._asked = AskedSignatures(self._transport, task, batch_size)
        self._of_task = {} if task is None else {"task": task}

    def __getattr__(self, name: str) -> NoReturn:
        """Raise an AttributeError, with the reason if the predictor has a method of this name."""
        if name not in NOT_SERVED:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        raise AttributeError(
            f"`{name}` cannot be asked of a server: it {NOT_SERVED[name]}. A predictor of `bert_tf.load` has it."
        )

    def classify(self, texts: Sequence[str], text_pairs: Sequence[str] | None = None) -> list[dict[str, Any]]:
        """Return what `Predictor.classify` returns.

        Raises:
            ValueError: the model is not a classifier, several of its tasks are classifiers and `task` is None, an item
                is not a string, the numbers of texts differ, the model takes pairs and is asked with single texts or
                the other way round, or the server refuses the request.
            OSError: the server cannot be reached, has no such model, needs a key, or is too busy.
        """
        answers = []
        signature = self._asked.signature("classify", ("labels", "probabilities"))
        for row in self._asked.rows("classify", signature, text=texts, text_pair=text_pairs):
            of_class = dict(zip(self._asked.classes(signature), row["probabilities"], strict=True))
            if "num_labels" in row:
                answers.append({"labels": row["labels"][: row["num_labels"]], "probabilities": of_class})
            else:
                answers.append({"label": row["labels"], "probabilities": of_class})
        return answers

    def score(self, texts: Sequence[str], text_pairs: Sequence[str] | None = None) -> list[float]:
        """Return what `Predictor.score` returns. Raises as `classify` does."""
        signature = self._asked.signature("score", ("values",))
        return [row["values"] for row in self._asked.rows("score", signature, text=texts, text_pair=text_pairs)]

    def tag(self, texts: Sequence[str]) -> list[dict[str, Any]]:
        """Return what `Predictor.tag` returns for texts. Raises as `classify` does."""
        answers = []
        for row in self._asked.rows("tag", self._asked.signature("tag", ("tags",)), text=texts):
            answer: dict[str, Any] = {name: row[name][: row["num_words"]] for name in ("words", "tags")}
            if "num_spans" in row:
                parts = zip(row["span_labels"], row["span_texts"], row["span_starts"], row["span_ends"], strict=True)
                names = ("label", "text", "start", "end")
                answer["spans"] = [dict(zip(names, part, strict=True)) for part in parts][: row["num_spans"]]
            answers.append(answer)
        return answers

    def answer(self, questions: Sequence[str], contexts: Sequence[str]) -> list[dict[str, Any]]:
        """Return what `Predictor.answer` returns. Raises as `classify` does."""
        answers = []
        signature = self._asked.signature("answer", ("n_best_answers",))
        rows = self._asked.rows("answer", signature, question=questions, context=contexts)
        for number, (question, row) in enumerate(zip(questions, rows, strict=True)):
            columns = [row[f"n_best_{name}"] for name in ("answers", "starts", "ends", "scores", "probabilities")]
            names = ("text", "start", "end", "score", "probability")
            n_best = [dict(zip(names, each, strict=True)) for each in zip(*columns, strict=True)][: row["num_answers"]]
            answer: dict[str, Any] = {"id": str(number), "question": question}
            if "null_differences" in row:
                answer["null_difference"] = row["null_differences"]
            is_there = row["starts"] >= 0
            answer |= {"answer": row["answers"], "start": row["starts"] if is_there else None}
            answers.append(answer | {"end": row["ends"] if is_there else None, "n_best": n_best})
        return answers

    def choose(
        self,
        contexts: str | Sequence[str],
        choices: Sequence[str] | Sequence[Sequence[str]],
        questions: str | Sequence[str] | None = None,
    ) -> Any:
        """Return what `Predictor.choose` returns.

        Raises:
            ValueError: as `classify`; or there are fewer than two choices, or an empty one.
            OSError: as `classify`.
        """
        examples = choice_examples(contexts, choices, questions)
        signature = self._asked.signature("choose", ("indices",))
        rows = self._asked.rows(
            "choose",
            signature,
            context=[example.context for example in examples],
            question=[example.question for example in examples],
            choices=[example.choices for example in examples],
        )
        answers = [
            {
                "index": row["indices"],
                "choice": example.choices[row["indices"]],
                "probabilities": row["probabilities"][: len(example.choices)],
            }
            for example, row in zip(examples, rows, strict=True)
        ]
        return answers[0] if isinstance(contexts, str) else answers

    def rerank(self, query: str | Sequence[str], passages: Sequence[Any], top_k: int | None = None) -> list[Any]:
        """Return what `Predictor.rerank` returns.

        Raises:
            ValueError: as `classify`; or `top_k` is below 1.
            OSError: as `classify`.
        """
        queries, lists = lists_of_passages(query, passages, top_k)
        signature = self._asked.signature("rerank", ("scores", "logits"))
        pairs = [(query, passage) for query, some in zip(queries, lists, strict=True) for passage in some]
        rows = iter(
            self._asked.rows(
                "rerank",
                signature,
                query=[query for query, _ in pairs],
                passage=[text_of(passage) for _, passage in pairs],
            )
        )
        found = []
        for some in lists:
            own = list(zip(some, rows, strict=False))
            # The sort keeps the order of equal ones. Unlike logits, scores of very good passages may be equal.
            order = sorted(range(len(own)), key=lambda index: -own[index][1]["logits"])
            found.append(ranked(some, [(index, own[index][1]["scores"]) for index in order[:top_k]]))
        return found[0] if isinstance(query, str) else found

    def fill_mask(self, texts: Sequence[str], top_k: int | None = None) -> list[list[list[tuple[str, float]]]]:
        """Return what `Predictor.fill_mask` returns.

        Args:
            texts: any number of texts, with `[MASK]` for each token to predict.
            top_k: number of tokens for each mask, at most that of the export; None for that number.

        Raises:
            ValueError: as `classify`; or the export gives fewer than `top_k` tokens.
            OSError: as `classify`.
        """
        answers = []
        for row in self._asked.rows("fill_mask", self._asked.signature("fill_mask", ("tokens",)), text=texts):
            masks = list(zip(row["tokens"], row["probabilities"], strict=True))[: row["num_masks"]]
            known = len(row["tokens"][0]) if row["tokens"] else top_k
            if top_k is not None and (top_k < 1 or (known is not None and top_k > known)):
                raise ValueError(f"`top_k` must be from 1 to {known}, the number of the export. Received: {top_k}")
            answers.append([list(zip(*mask, strict=True))[:top_k] for mask in masks])
        return answers

    def generate(self, texts: Sequence[str], *, seed: int = 0) -> list[dict[str, Any]]:
        """Return what `Predictor.generate` returns with the export's own options.

        Args:
            texts: any number of texts.
            seed: the random seed, for an export that draws texts; others take none into account.

        Raises:
            ValueError: as `classify`.
            OSError: as `classify`.
        """
        answers = []
        signature = self._asked.signature("generate", ("texts",))
        for row in self._asked.rows("generate", signature, numbers={"seed": seed}, text=texts):
            names = ("texts", "scores", "log_probabilities")
            columns = [value if isinstance(value, list) else [value] for value in (row[name] for name in names)]
            found = [
                {"generated": text, "score": score, "log_probability": log_probability}
                for text, score, log_probability in zip(*columns, strict=True)
            ]
            answers.append(found[0] if len(found) == 1 else found[0] | {"alternatives": found})
        return answers

    def stream(self, text: str, **options: Any) -> Iterator[str]:
        """Yield what `Predictor.stream` yields, from a server that has the run beside the export.

        Args:
            text: the source text.
            **options: those of `Predictor.stream`.

        Raises:
            ValueError: as `classify`; or the address is not one of HTTP.
            OSError: as `classify`; or the text does not end in time.
        """
        return self._transport.stream({"text": text, "stream": True, **self._of_task, **options})

    def explain(
        self,
        texts: Sequence[str],
        text_pairs: Sequence[str] | None = None,
        *,
        method: str = "integrated_gradients",
        target: str | int | None = None,
        baseline: str = "mask",
    ) -> list[dict[str, Any]]:
        """Return what `Predictor.explain` returns, from a server that has the run beside the export: a request a text.

        Args:
            texts: any number of texts; questions, for a model that answers them.
            text_pairs: as many second texts; contexts, for a model that answers questions.
            method: see `Predictor.explain`, as for all others.
            target: see there.
            baseline: see there.

        Raises:
            ValueError: as `classify`; or the address is not one of HTTP.
            OSError: as `classify`.
        """
        columns = {"text": texts_of("texts", texts)}
        if text_pairs is not None:
            columns["text_pair"] = texts_of("text_pairs", text_pairs)
        same_number(columns)
        options = {"method": method, "target": target, "baseline": baseline, "attention": False, **self._of_task}
        found = []
        for each in zip(*columns.values(), strict=True):
            answer = self._transport.explain(dict(zip(columns, each, strict=True)) | options)
            found.append({name: value for name, value in answer["explanations"][0].items() if name != "texts"})
        return found

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Return what `Predictor.embed` returns with the model's own settings, float32 [N, D]. Raises as `classify`."""
        signature = self._asked.signature("embed", ("embedding",), (DEFAULT_SIGNATURE, "embedding"))
        rows = self._asked.rows("embed", signature, text=texts)
        return np.array([row["embedding"] for row in rows], np.float32)

    @property
    def signatures(self) -> dict[str, Any]:
        """The signatures of the model by name, as `SignatureDef`s in JSON."""
        return self._asked.signatures

    @property
    def tasks(self) -> tuple[str, ...]:
        """The names of the tasks of a model for several, in the order of the alphabet; empty for any other model."""
        return self._asked.tasks
