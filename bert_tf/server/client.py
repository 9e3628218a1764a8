"""A client of `bert-tf serve` and of TensorFlow Serving, with the predictor's methods."""

import functools
import re
import ssl
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from bert_tf.server.grpc_transport import GrpcTransport
from bert_tf.server.rest_transport import RestTransport
from bert_tf.serving.methods.base import texts_of

_ADDRESS = re.compile(
    r"(?P<scheme>https?|grpcs?)://(?P<host>[^/]+)/v1/models/(?P<name>[^/:]+)"
    r"(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
)


class Client:
    """An export behind the interfaces of TensorFlow Serving, asked as `load` would ask it here.

    >>> client = Client("http://localhost:8501/v1/models/classifier")
    >>> client.classify(["a text"])  # doctest: +SKIP
    [{'label': 'positive', 'probabilities': {'negative': 0.1, 'positive': 0.9}}]

    Args:
        url: the address of the model, `grpc://localhost:8500/v1/models/classifier` for gRPC, `https` and `grpcs` with
            TLS; `/versions/2` or `/labels/stable` at its end asks one version.
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
        self._batch_size = batch_size
        make = GrpcTransport if address["scheme"].startswith("grpc") else RestTransport
        self._transport = make(url, api_key=api_key, timeout=timeout, retries=retries, tls=tls)

    def classify(self, texts: Sequence[str], text_pairs: Sequence[str] | None = None) -> list[dict[str, Any]]:
        """Return what `Predictor.classify` returns.

        Raises:
            ValueError: the model is not a classifier, an item is not a string, the numbers of texts differ, the model
                takes pairs and is asked with single texts or the other way round, or the server refuses the request.
            OSError: the server cannot be reached, has no such model, needs a key, or is too busy.
        """
        answers = []
        for row in self._ask("classify", "probabilities", text=texts, text_pair=text_pairs):
            of_class = dict(zip(self._classes, row["probabilities"], strict=True))
            if "num_labels" in row:
                answers.append({"labels": row["labels"][: row["num_labels"]], "probabilities": of_class})
            else:
                answers.append({"label": row["labels"], "probabilities": of_class})
        return answers

    def score(self, texts: Sequence[str], text_pairs: Sequence[str] | None = None) -> list[float]:
        """Return what `Predictor.score` returns. Raises as `classify` does."""
        return [row["values"] for row in self._ask("score", "values", text=texts, text_pair=text_pairs)]

    def tag(self, texts: Sequence[str]) -> list[dict[str, Any]]:
        """Return what `Predictor.tag` returns for texts. Raises as `classify` does."""
        answers = []
        for row in self._ask("tag", "tags", text=texts):
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
        rows = self._ask("answer", "answers", question=questions, context=contexts)
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
        for row in self._ask("fill_mask", "tokens", text=texts):
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
        for row in self._ask("generate", "texts", numbers={"seed": seed}, text=texts):
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
        return self._transport.stream({"text": text, "stream": True, **options})

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Return what `Predictor.embed` returns with the model's own settings, float32 [N, D]. Raises as `classify`."""
        signature = "serving_default" if "embedding" in self._outputs("serving_default") else "embedding"
        rows = self._ask("embed", "embedding", signature, text=texts)
        return np.array([row["embedding"] for row in rows], np.float32)

    @functools.cached_property
    def signatures(self) -> dict[str, Any]:
        """The signatures of the model by name, as `SignatureDef`s in JSON."""
        return self._transport.signatures()

    @functools.cached_property
    def _classes(self) -> list[str]:
        return self._transport.classes("examples", dict.fromkeys(self.signatures["serving_default"]["inputs"], ""))

    def _outputs(self, signature: str) -> Mapping[str, Any]:
        return self.signatures.get(signature, {}).get("outputs", {})

    def _ask(
        self,
        method: str,
        output: str,
        signature: str = "serving_default",
        *,
        numbers: Mapping[str, int] | None = None,
        **columns: Sequence[str] | None,
    ) -> list[dict[str, Any]]:
        """Return the outputs of a signature for each row.

        Args:
            method: the method that is called, for messages.
            output: an output that the signature of this method has.
            signature: the name of the signature.
            numbers: the number of every row for an input of numbers; left out where the signature has no such input.
            **columns: the texts of each input; None for an input that was not given.
        """
        outputs = self._outputs(signature)
        inputs = set(self.signatures.get(signature, {}).get("inputs", {}))
        fixed = {name: value for name, value in (numbers or {}).items() if name in inputs}
        inputs -= fixed.keys()
        if output not in outputs:
            raise ValueError(f"`{method}` needs a model that returns {output}. Received: {self.url}")
        arguments = {"text": "texts", "text_pair": "text_pairs", "question": "questions", "context": "contexts"}
        given = {name: texts_of(arguments[name], texts) for name, texts in columns.items() if texts is not None}
        if given.keys() != inputs:
            names = " and ".join(f"`{arguments.get(name, name)}`" for name in sorted(inputs))
            raise ValueError(f"`{method}` needs {names} for this model. Received: {', '.join(sorted(given))}")
        if len({len(texts) for texts in given.values()}) > 1:
            first, second = (arguments[name] for name in given)
            sizes = " and ".join(str(len(texts)) for texts in given.values())
            raise ValueError(f"`{second}` must be as many as `{first}`. Received: {sizes}")
        number = len(next(iter(given.values())))
        rows: list[dict[str, Any]] = []
        for start in range(0, number, self._batch_size):
            part: dict[str, Any] = {name: texts[start : start + self._batch_size] for name, texts in given.items()}
            part |= {name: [value] * min(self._batch_size, number - start) for name, value in fixed.items()}
            found = self._transport.predict(signature, part, self.signatures[signature])
            rows += [dict(zip(found, values, strict=True)) for values in zip(*found.values(), strict=True)]
        return rows
