"""The conversion of a traced step to a function of its state, which takes variables' values and returns new ones.

TensorFlow lowers functions with variables only for attached devices. With the TPU's own kernels (route B), the state
must be arguments and results. So the graph of the step is rewritten: a read becomes an argument, an assignment a
result.
"""

from typing import Any

import tensorflow as tf

_ALLOWED = {"ReadVariableOp", "AssignVariableOp"}


def stateless(concrete: Any) -> tuple[Any, list[tf.TensorSpec], dict[int, int]]:
    """Return a concrete function without its variables.

    Args:
        concrete: a concrete function, whose own graph reads and assigns variables, not the functions that it calls.

    Returns:
        First, a Python function that takes the same arguments followed by the variables' values, and returns the same
        results followed by the new values of assigned variables. Second, the specifications of the variables. Third,
        for the index of an argument, the index of the result that overwrites it.

    Raises:
        ValueError: a variable is used in another way.
    """
    arguments = concrete.inputs[: len(concrete.inputs) - len(concrete.captured_inputs)]
    resources = [tensor.op.name for tensor in concrete.inputs[len(arguments) :]]
    specs = [_spec(concrete, handle) for handle in concrete.captured_inputs]
    graph = concrete.graph.as_graph_def()
    assigned = _rewrite(graph, {tensor.op.name for tensor in arguments}, resources)
    wanted = [tensor.name for tensor in concrete.outputs] + [
        f"{assigned[name]}:0" for name in resources if name in assigned
    ]
    written = [position for position, name in enumerate(resources) if name in assigned]
    names = [tensor.op.name for tensor in arguments] + resources
    used = {source.split(":")[0].lstrip("^") for node in graph.node for source in node.input}

    def function(*tensors: tf.Tensor) -> list[tf.Tensor]:
        given = {name: tensor for name, tensor in zip(names, tensors, strict=True) if name in used}
        return tf.graph_util.import_graph_def(graph, input_map=given, return_elements=wanted, name="step")

    aliases = {len(arguments) + position: len(concrete.outputs) + number for number, position in enumerate(written)}
    return function, specs, aliases


def _spec(concrete: Any, handle: Any) -> tf.TensorSpec:
    """Return the shape and dtype of the variable of a captured handle."""
    for variable in concrete.graph.variables:
        if variable.handle is handle:
            return tf.TensorSpec(variable.shape, variable.dtype)
    raise ValueError(f"the step may capture variables only. Received: {handle!r}")


def _rewrite(graph: Any, arguments: set[str], resources: list[str]) -> dict[str, str]:
    """Remove the placeholders from a graph definition, and turn reads and assignments into identities, in place.

    Returns:
        For each resource, the node whose value is assigned to it.
    """
    assigned: dict[str, str] = {}
    for node in graph.node:
        used = [source for source in node.input if source.split(":")[0] in resources]
        if used and node.op not in _ALLOWED:
            raise ValueError(
                "the TPU's kernels (route b) cannot lower functions that use variables, which "
                "`train.gradient_accumulation_steps` and `model.recompute` make: "
                f"use route a. Received: {node.op} {node.name!r}"
            )
        if node.op == "AssignVariableOp":
            if used[0] in assigned:
                raise ValueError(f"a step may assign to a variable only once. Received: {node.name!r}")
            assigned[used[0]] = node.name
    kept = [node for node in graph.node if node.name not in arguments | set(resources)]
    for node in kept:
        node.attr.pop("_class", None)  # it may name a node that is removed
        if node.op not in _ALLOWED:
            continue
        resource, dtype = node.input[0], node.attr["dtype"].type
        if node.op == "AssignVariableOp":
            del node.input[0]
        elif f"^{assigned.get(resource)}" in node.input:
            node.input[0] = assigned[resource]  # a read after the assignment
        node.op = "Identity"
        node.attr.clear()
        node.attr["T"].type = dtype
    kept = [type(node).FromString(node.SerializeToString()) for node in kept]
    del graph.node[:]
    graph.node.extend(kept)
    return assigned
