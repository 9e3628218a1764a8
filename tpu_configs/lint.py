"""Operations that a TPU should not see, found in a traced step before anything is compiled.

Google's compiler refuses some of them. Others make the program slow, or silently wrong: an assert is dropped, and a
shape that depends on values becomes the largest possible one.
"""

import dataclasses
from typing import Any

import tensorflow as tf

_HOST = "runs Python or prints on the host, which a TPU cannot call"
_DYNAMIC = "its output's shape depends on values"
REFUSED = dict.fromkeys(
    ("PyFunc", "PyFuncStateless", "EagerPyFunc", "NumpyFunc", "Print", "PrintV2", "LogString"), _HOST
)
"""The refused operations, each with the reason. Every operation on strings is refused as well."""
# Strings may pass through these operations. The message of an assert does no harm, and other uses are found later.
_CARRIERS = {"Const", "Identity", "IdentityN", "Placeholder", "If", "StatelessIf", "While", "StatelessWhile"}
_CARRIERS |= {"PartitionedCall", "StatefulPartitionedCall"}
DOUBTFUL = {
    "Where": f"{_DYNAMIC} (boolean_mask, or where with one argument)",
    "Unique": _DYNAMIC,
    "UniqueV2": _DYNAMIC,
    "UniqueWithCounts": _DYNAMIC,
    "UniqueWithCountsV2": _DYNAMIC,
    "ListDiff": _DYNAMIC,
    "DynamicPartition": _DYNAMIC,
    "NonMaxSuppressionV3": _DYNAMIC,
    "Assert": "it is dropped on a TPU: nothing is checked there",
    "CheckNumericsV2": "it is dropped on a TPU: nothing is checked there",
}
"""The operations that a step should avoid, each with the reason."""
_DOUBLE = "float64 is emulated on a TPU, many times slower"
_STRING = "a TPU has no strings"


@dataclasses.dataclass(frozen=True)
class Finding:
    """An operation that a TPU should not see.

    Attributes:
        operation: the kind of the operation, such as `Where`.
        name: the name of the node, which names its layer.
        why: the reason.
        refused: whether the step cannot be compiled at all.
        source: the file and line that made the operation; empty if they are not known (inside nested functions).
    """

    operation: str
    name: str
    why: str
    refused: bool
    source: str = ""

    def __str__(self) -> str:
        place = f" ({self.source})" if self.source else ""
        return f"{self.operation} {self.name!r}{place}: {self.why}"


def lint(graph: tf.Graph) -> list[Finding]:
    """Return the operations that a TPU should not see in a traced function and in the functions that it calls.

    Args:
        graph: the graph of a concrete function.
    """
    definition = graph.as_graph_def()
    operations = [graph.get_operation_by_name(node.name) for node in definition.node]
    found = [
        _finding(node, _types(node) | _tensor_types(operation), _source(operation))
        for node, operation in zip(definition.node, operations, strict=True)
    ]
    nested = [node for function in definition.library.function for node in function.node_def]
    found += [_finding(node, _types(node), "") for node in nested]
    once = {(finding.operation, finding.source or finding.name): finding for finding in found if finding is not None}
    return list(once.values())


def _finding(node: Any, types: set[int], source: str) -> Finding | None:
    if node.op in REFUSED:
        return Finding(node.op, node.name, REFUSED[node.op], True, source)
    if node.op in DOUBTFUL:
        return Finding(node.op, node.name, DOUBTFUL[node.op], False, source)
    if tf.string.as_datatype_enum in types and node.op not in _CARRIERS:
        return Finding(node.op, node.name, _STRING, True, source)
    if tf.float64.as_datatype_enum in types:
        return Finding(node.op, node.name, _DOUBLE, False, source)
    return None


def _types(node: Any) -> set[int]:
    """Return the dtypes among a node's attributes, which are those dtypes that the operation's kind leaves open."""
    values = list(node.attr.values())
    return {value.type for value in values} | {each for value in values for each in value.list.type}


def _tensor_types(operation: tf.Operation) -> set[int]:
    """Return the dtypes of an operation's inputs and outputs."""
    return {tensor.dtype.as_datatype_enum for tensor in (*operation.inputs, *operation.outputs)}


def _source(operation: tf.Operation) -> str:
    """Return the innermost line of code outside installed packages that made an operation."""
    frames = operation.traceback or ()
    own = [frame for frame in frames if "site-packages" not in frame.filename and frame.filename != __file__]
    return f"{own[-1].filename}, line {own[-1].lineno}" if own else ""
