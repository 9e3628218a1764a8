"""A small stand-in for Apache Beam, an optional extra: a pipeline runs its steps in this process, one after the other.

All that would be sent to a worker is pickled, elements come to a step in another order than they left the one before,
and every element of a `Map` is given twice, because Beam may repeat what it did.
"""

import pickle
import sys
import types
from typing import Any


def install(monkeypatch) -> None:
    """Let `import apache_beam` find the stand-in."""
    options = types.ModuleType("apache_beam.options.pipeline_options")
    options.PipelineOptions = _Options
    beam = types.ModuleType("apache_beam")
    for part in (Pipeline, Create, Map, FlatMap, GroupByKey, Reshuffle, CombinePerKey):
        setattr(beam, part.__name__, part)
    monkeypatch.setitem(sys.modules, "apache_beam", beam)
    monkeypatch.setitem(sys.modules, "apache_beam.options", types.ModuleType("apache_beam.options"))
    monkeypatch.setitem(sys.modules, "apache_beam.options.pipeline_options", options)


class _Options:
    def __init__(self, words: list[str]) -> None:
        self.words = words

    def get_all_options(self) -> dict[str, Any]:
        return {}


class _Step:
    """A step, which `"label" >> step` names and `collection | step` adds."""

    def __init__(self, function: Any = None, *arguments: Any) -> None:
        self.function, self.arguments = pickle.loads(pickle.dumps((function, arguments)))

    def __rrshift__(self, label: str) -> "_Step":
        return self

    def apply(self, elements: list) -> list:
        raise NotImplementedError


class _Collection:
    def __init__(self, steps: list[_Step], pipeline: "Pipeline") -> None:
        self._steps, self._pipeline = steps, pipeline

    def __or__(self, step: _Step) -> "_Collection":
        collection = _Collection([*self._steps, step], self._pipeline)
        self._pipeline.steps = collection._steps
        return collection


class Pipeline:
    def __init__(self, options: _Options) -> None:
        self.steps: list[_Step] = []

    def __or__(self, step: _Step) -> _Collection:
        return _Collection([], self) | step

    def run(self) -> "Pipeline":
        elements: list = []
        for step in self.steps:
            elements = pickle.loads(pickle.dumps(step.apply(elements[::-1])))
        return self

    def wait_until_finish(self) -> None:
        pass


class Create(_Step):
    def apply(self, elements: list) -> list:
        return self.function


class Map(_Step):
    def apply(self, elements: list) -> list:
        first = [self.function(element, *self.arguments) for element in elements]
        assert [self.function(element, *self.arguments) for element in elements] == first
        return first


class FlatMap(_Step):
    def apply(self, elements: list) -> list:
        return [piece for element in elements for piece in self.function(element, *self.arguments)]


class GroupByKey(_Step):
    def apply(self, elements: list) -> list:
        return [
            (wanted, [value for key, value in elements if key == wanted]) for wanted in {key for key, _ in elements}
        ]


class CombinePerKey(GroupByKey):
    def apply(self, elements: list) -> list:
        return [
            (key, self.function([self.function(values[:1]), *values[1:]])) for key, values in super().apply(elements)
        ]


class Reshuffle(_Step):
    def apply(self, elements: list) -> list:
        return elements
