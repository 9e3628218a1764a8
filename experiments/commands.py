"""The commands of `bert-tf`, and their list."""

import ast
import importlib.util
from collections.abc import Mapping

from bert_tf.utils import files

COMMANDS = {
    "create-vocab": "data_pipelines.create_vocab",
    "create-pretraining-data": "data_pipelines.create_pretraining_data",
    "verify-records": "data_pipelines.verify_records",
    "convert-records": "data_pipelines.convert_records",
    "configs": "",
    "pretrain": "experiments.pretrain",
    "adapt": "experiments.adapt",
    "finetune": "experiments.finetune",
    "glue": "experiments.glue",
    "evaluate": "experiments.evaluate",
    "predict": "experiments.predict",
    "generate": "experiments.generate",
    "explain": "experiments.explain",
    "report": "experiments.report",
    "likelihood": "experiments.likelihood",
    "rescore": "experiments.rescore",
    "complete": "experiments.complete",
    "index": "experiments.index",
    "search": "experiments.search",
    "mine-negatives": "experiments.mine_negatives",
    "rerank": "experiments.rerank",
    "export-saved-model": "experiments.export_saved_model",
    "query-saved-model": "experiments.query_saved_model",
    "serve": "experiments.serve",
    "convert-checkpoint": "experiments.convert_checkpoint",
    "quickstart": "experiments.quickstart",
    "plan": "experiments.plan",
    "tpu-check": "tpu_configs.check",
    "tpu-topologies": "tpu_configs.show",
    "completion": "",
}
"""The module that each command runs; functions of `experiments.main` run those without one."""


def summary_of(command: str) -> str:
    """Return the first line of the documentation of a command's module."""
    # The file is parsed rather than imported: listing the commands must not wait for what they need.
    spec = importlib.util.find_spec(COMMANDS[command])
    assert spec is not None
    assert spec.origin is not None
    documentation = ast.get_docstring(ast.parse(files.read_text(spec.origin))) or ""
    return documentation.splitlines()[0]


def overview(summaries: Mapping[str, str]) -> str:
    """Return the list of all commands.

    Args:
        summaries: one sentence for each command without a module.
    """
    width = max(map(len, COMMANDS))
    lines = [f"  {command:<{width}}  {summaries.get(command) or summary_of(command)}" for command in COMMANDS]
    return "\n".join(
        [
            "bert-tf COMMAND [--flag=value ...]",
            "",
            *lines,
            "",
            "`bert-tf COMMAND --help` explains the flags of a command.",
        ]
    )
