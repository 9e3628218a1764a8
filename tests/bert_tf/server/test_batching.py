"""Requests are answered together while the model is busy, and each as if it were alone."""

import asyncio
import threading

import numpy as np
import pytest
from small_model import write_run

from bert_tf.server.batching import Batcher
from bert_tf.server.errors import RequestError
from bert_tf.server.json_tensors import TensorInfo
from bert_tf.server.options import ServerOptions
from bert_tf.server.served_version import ServedVersion, Signature

TEXT = TensorInfo("DT_STRING", (None,))
JOINS = Signature("joins", {"text": TEXT}, {"size": TensorInfo("DT_INT32", (None,))}, {})
ALONE = Signature("alone", {"text": TEXT}, {"words": TensorInfo("DT_STRING", (None, None))}, {})


class Version:
    """A version that stops in its first call until it is told to go on, and keeps the rows of each call."""

    number = 1

    def __init__(self):
        self.calls = []
        self.started, self.go_on = threading.Event(), threading.Event()

    def run(self, name, inputs):
        self.calls.append([text.decode() for text in inputs["text"]])
        self.started.set()
        assert self.go_on.wait(60)
        if "bad" in self.calls[-1]:
            raise RequestError(400, "a bad text")
        if "broken" in self.calls[-1]:
            raise ZeroDivisionError
        return {"size": np.array(list(map(len, inputs["text"])), np.int32)}


def texts(*values):
    array = np.empty(len(values), object)
    array[:] = [value.encode() for value in values]
    return {"text": array}


def ask_while_busy(version, requests, signature=JOINS, cancel=(), **options):
    """Return the sizes or the error of each request, all of which arrive while the version computes a first one."""

    async def run():
        batcher = Batcher(ServerOptions(**{"latency_budget": 1e9, **options}))
        first = asyncio.create_task(batcher.ask(version, signature, texts("first")))
        await asyncio.to_thread(version.started.wait, 60)
        asked = [asyncio.create_task(batcher.ask(version, signature, texts(*request))) for request in requests]
        await asyncio.sleep(0)  # each of them runs until it waits
        for index in cancel:
            asked[index].cancel()
        await asyncio.sleep(0)
        version.go_on.set()
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert (await first)["size"].tolist() == [5]
        assert batcher.waiting == 0
        batcher.close()
        return [answer if isinstance(answer, BaseException) else answer["size"].tolist() for answer in answers]

    return asyncio.run(run())


def test_requests_that_wait_are_computed_together():
    version = Version()
    assert ask_while_busy(version, [["a"], ["bb", "ccc"], ["dddd"]]) == [[1], [2, 3], [4]]
    assert version.calls == [["first"], ["a", "bb", "ccc", "dddd"]]


def test_each_text_of_a_row_waits():
    async def run():
        version, batcher = Version(), Batcher(ServerOptions(max_queue_texts=8, max_batch_texts=8))
        first = asyncio.create_task(batcher.ask(version, JOINS, texts("first")))
        await asyncio.to_thread(version.started.wait, 60)
        rows = [asyncio.create_task(batcher.ask(version, JOINS, texts(row), texts=4)) for row in ("a", "b")]
        await asyncio.sleep(0)
        assert batcher.waiting == 8
        with pytest.raises(RequestError, match="8 texts wait for the model, and at most 8 may"):
            await batcher.ask(version, JOINS, texts("c"), texts=2)
        version.go_on.set()
        await asyncio.gather(first, *rows)
        batcher.close()
        return version.calls

    assert asyncio.run(run()) == [["first"], ["a", "b"]]


def test_a_batch_has_at_most_so_many_rows():
    version = Version()
    requests = [["a"], ["b", "c"], ["d"], ["e"]]
    assert ask_while_busy(version, requests, max_batch_texts=3) == [[1], [1, 1], [1], [1]]
    assert version.calls == [["first"], ["a", "b", "c"], ["d", "e"]]


def test_a_large_request_is_computed_in_parts():
    version = Version()
    assert ask_while_busy(version, [["a", "bb", "ccc", "dddd", "eeeee"]], max_batch_texts=2) == [[1, 2, 3, 4, 5]]
    assert version.calls[1:] == [["a", "bb"], ["ccc", "dddd"], ["eeeee"]]


def test_a_batch_is_expected_to_take_no_longer_than_the_budget():
    version = Version()
    # The first request took longer than this for its one text.
    assert ask_while_busy(version, [["a"], ["b"], ["c"]], latency_budget=1e-9) == [[1], [1], [1]]
    assert version.calls[1:] == [["a"], ["b"], ["c"]]


def test_a_signature_whose_outputs_depend_on_other_rows_is_asked_alone():
    version = Version()
    assert ask_while_busy(version, [["a"], ["b", "c"]], ALONE) == [[1], [1, 1]]
    assert version.calls[1:] == [["a"], ["b", "c"]]


class Words(Version):
    """A version that splits texts into words, and also returns what nothing counts if `wide`."""

    def __init__(self, wide=0):
        super().__init__()
        self.wide = wide

    def run(self, name, inputs):
        super().run(name, inputs)
        rows = [text.decode().split() for text in inputs["text"]]
        width = max(map(len, rows)) + self.wide
        words = np.array([row + [""] * (width - len(row)) for row in rows], object).reshape(len(rows), width)
        counts = np.array(list(map(len, rows)), np.int32)
        return {"words": words, "num_words": counts, "size": counts}


@pytest.mark.parametrize("wide", [0, 1])
def test_answers_have_the_width_of_their_own_rows(wide):
    infos = {"words": TensorInfo("DT_STRING", (None, None)), "num_words": TensorInfo("DT_INT32", (None,))}
    signature = Signature("counted", {"text": TEXT}, infos, {})
    assert signature.counts == {"words": "num_words"}

    async def run():
        version, batcher = Words(wide), Batcher(ServerOptions(latency_budget=1e9))
        tasks = []
        for request in (["first"], ["a b c", "d"], ["e"], [""]):
            tasks.append(asyncio.create_task(batcher.ask(version, signature, texts(*request))))
            await asyncio.sleep(0)
        await asyncio.to_thread(version.started.wait, 60)
        version.go_on.set()
        return [(await task)["words"].tolist() for task in tasks], version.calls

    answers, calls = asyncio.run(run())
    extra = [""] * wide
    assert answers == [[["first", *extra]], [["a", "b", "c", *extra], ["d", "", "", *extra]], [["e", *extra]], [extra]]
    # Where the width is not the one that is counted, each is asked once more, alone.
    assert calls == [["first"], ["a b c", "d", "e", ""], *([["a b c", "d"], ["e"], [""]] if wide else [])]


def test_an_error_belongs_to_its_request():
    version = Version()
    good, bad, also, broken = ask_while_busy(version, [["a"], ["bad"], ["bb"], ["c", "broken"]])
    assert (good, also) == ([1], [2])
    assert (bad.status, bad.message) == (400, "a bad text")
    assert isinstance(broken, ZeroDivisionError)


def test_a_request_that_was_given_up_is_not_computed():
    version = Version()
    answers = ask_while_busy(version, [["a"], ["b"], ["c"]], cancel=[0, 2])
    assert [type(answer) for answer in answers] == [asyncio.CancelledError, list, asyncio.CancelledError]
    assert version.calls[1:] == [["b"]]


def test_a_full_queue_refuses_requests():
    version = Version()
    first, second, third = ask_while_busy(version, [["a", "b", "c"], ["d"], ["e"]], max_queue_texts=4)
    assert (first, second) == ([1, 1, 1], [1])
    assert (third.status, third.retry_after) == (429, 1)
    assert third.headers() == {"retry-after": "1"}
    assert third.message == "4 texts wait for the model, and at most 4 may."
    # A request that alone exceeds the queue is answered if nothing waits.
    assert ask_while_busy(Version(), [["a", "b", "c", "d", "e"]], max_queue_texts=4) == [[1, 1, 1, 1, 1]]


def test_shapes_are_not_mixed():
    info = TensorInfo("DT_INT32", (None, None))
    signature = Signature("ids", {"ids": info}, {"sum": TensorInfo("DT_INT32", (None,))}, {})
    calls = []

    class Sums(Version):
        def run(self, name, inputs):
            calls.append(inputs["ids"].shape)
            self.started.set()
            assert self.go_on.wait(60)
            return {"sum": inputs["ids"].sum(axis=1)}

    async def run():
        version, batcher = Sums(), Batcher(ServerOptions(latency_budget=1e9))
        tasks = []
        for rows, length in ((1, 2), (1, 3), (2, 2), (2, 3), (1, 0), (0, 2)):
            ids = {"ids": np.full((rows, length), length, np.int32)}
            tasks.append(asyncio.create_task(batcher.ask(version, signature, ids)))
            await asyncio.sleep(0)
        await asyncio.to_thread(version.started.wait, 60)
        version.go_on.set()
        return [(await task)["sum"].tolist() for task in tasks]

    assert asyncio.run(run()) == [[4], [9], [4, 4], [9, 9], [0], []]
    assert calls == [(1, 2), (3, 3), (2, 2), (1, 0), (0, 2)]


TASKS = ("classification", "question_answering", "tagging", "pretraining")


@pytest.mark.parametrize("task", [pytest.param(task, marks=[pytest.mark.long] * (task != TASKS[0])) for task in TASKS])
def test_answers_equal_those_of_requests_alone(task, request, tmp_path):
    pytest.importorskip("tensorflow_text")
    from bert_tf.serving.export import export_saved_model

    if task == "classification":
        folder = str(request.getfixturevalue("classifier_export") / "1")
    else:
        folder = export_saved_model(str(write_run(tmp_path / "run", task)))
    version = ServedVersion(folder, 1)
    signature = version.signature("")
    assert signature.counts is not None
    given = [
        "the old miller",
        "",
        "a young sailor forgot the letter near the river " * 3,
        "é [MASK] \u200d [MASK]",
        "river [MASK]",
    ]
    requests = [
        {name: texts(*given[start : start + size])["text"] for name in signature.inputs}
        for start, size in ((0, 1), (1, 3), (4, 1), (2, 2))
    ]
    alone = [version.run(signature.name, request) for request in requests]
    sizes = []
    started, go_on, run_alone = threading.Event(), threading.Event(), version.run

    def run(name, inputs):
        sizes.append(len(next(iter(inputs.values()))))
        started.set()
        assert go_on.wait(60)
        return run_alone(name, inputs)

    version.run = run

    async def together():
        batcher = Batcher(ServerOptions(latency_budget=1e9))
        first = asyncio.create_task(batcher.ask(version, signature, requests[0]))
        await asyncio.to_thread(started.wait, 60)
        tasks = [asyncio.create_task(batcher.ask(version, signature, request)) for request in requests]
        await asyncio.sleep(0)
        go_on.set()
        await first
        return await asyncio.gather(*tasks)

    answers = asyncio.run(together())
    assert sizes == [1, 7]
    for answer, expected in zip(answers, alone, strict=True):
        assert answer.keys() == expected.keys()
        for name, array in expected.items():
            if array.dtype == np.float32:
                np.testing.assert_allclose(answer[name], array, atol=1e-5)
            else:
                assert answer[name].tolist() == array.tolist()
