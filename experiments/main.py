"""The command `bert-tf`: one name for all commands of this package.

`bert-tf` lists the commands, and `bert-tf COMMAND --help` the flags of one. Neither imports TensorFlow, Keras or JAX.
"""

import ast
import difflib
import importlib
import importlib.util
import sys
from collections.abc import Sequence

from bert_tf.configs.experiment_files import list_experiments
from bert_tf.utils import files, launching

COMMANDS = {
    "create-vocab": "data_pipelines.create_vocab",
    "create-pretraining-data": "data_pipelines.create_pretraining_data",
    "verify-records": "data_pipelines.verify_records",
    "convert-records": "data_pipelines.convert_records",
    "configs": "",
    "pretrain": "experiments.pretrain",
    "finetune": "experiments.finetune",
    "evaluate": "experiments.evaluate",
    "predict": "experiments.predict",
    "export-saved-model": "experiments.export_saved_model",
    "query-saved-model": "experiments.query_saved_model",
    "convert-checkpoint": "experiments.convert_checkpoint",
    "quickstart": "experiments.quickstart",
    "tpu-check": "tpu_configs.check",
    "tpu-topologies": "tpu_configs.show",
    "completion": "",
}
"""Command -> the module that it runs; the others are functions of this module."""


def main() -> None:
    """Run the command that the first argument names, or list all commands."""
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(_overview())
        return
    command = arguments[0].replace("_", "-")
    if command not in COMMANDS:
        near = difflib.get_close_matches(command, COMMANDS, n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        sys.exit(f"error: there is no command {arguments[0]!r}.{hint} `bert-tf` lists all commands")
    if not COMMANDS[command]:
        _OWN[command](arguments[1:])
        return
    module = importlib.import_module(COMMANDS[command])
    sys.argv = [f"bert-tf {command}", *arguments[1:]]
    launching.run(module.main, module.define_flags)


def summary_of(command: str) -> str:
    """Return the first sentence of a command's documentation, as the list of commands shows it."""
    if not COMMANDS[command]:
        return str(_OWN[command].__doc__).strip().splitlines()[0]
    # The file is parsed rather than imported: listing the commands must not wait for what they need.
    spec = importlib.util.find_spec(COMMANDS[command])
    assert spec is not None
    assert spec.origin is not None
    documentation = ast.get_docstring(ast.parse(files.read_text(spec.origin))) or ""
    return documentation.splitlines()[0]


def _overview() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {command:<{width}}  {summary_of(command)}" for command in COMMANDS]
    return "\n".join(
        [
            "bert-tf COMMAND [--flag=value ...]",
            "",
            *lines,
            "",
            "`bert-tf COMMAND --help` explains the flags of a command.",
        ]
    )


def _configs(arguments: Sequence[str]) -> None:
    """List the experiments that --config takes by name."""
    _refuse(arguments, "configs")
    experiments = list_experiments()
    width = max(len(experiment.name) for experiment in experiments)
    for experiment in experiments:
        print(f"{experiment.name:<{width}}  {experiment.summary}")
    print("\nAn experiment of your own is a file with get_config(); --config takes its path.", file=sys.stderr)


def _completion(arguments: Sequence[str]) -> None:
    """Print how to switch on completion in your shell."""
    _refuse(arguments, "completion")
    print('bash, zsh:  eval "$(register-python-argcomplete bert-tf)"')
    print("fish:       register-python-argcomplete --shell fish bert-tf | source")


def _refuse(arguments: Sequence[str], command: str) -> None:
    if arguments:
        sys.exit(f"error: bert-tf {command} takes no arguments. Received: {arguments[0]!r}")


_OWN = {"configs": _configs, "completion": _completion}
