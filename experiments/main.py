"""The command `bert-tf`: one name for all commands of this package.

`bert-tf` lists the commands, and `bert-tf COMMAND --help` the flags of one. Neither imports TensorFlow, Keras or JAX.
"""

import difflib
import importlib
import os
import sys
from collections.abc import Sequence

from bert_tf.configs.experiment_files import list_experiments
from bert_tf.utils import launching
from experiments.commands import COMMANDS, overview


def main() -> None:
    """Run the command that the first argument names, or list all commands."""
    if "_ARGCOMPLETE" in os.environ:
        from experiments.completion import complete

        complete(os.environ.get("COMP_LINE", ""))
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(overview({name: str(function.__doc__) for name, function in _OWN.items()}))
        return
    command = arguments[0].replace("_", "-")
    if command not in COMMANDS:
        near = difflib.get_close_matches(command, COMMANDS, n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        sys.exit(f"error: there is no command {arguments[0]!r}.{hint} `bert-tf` lists all commands")
    if command in _OWN:
        _OWN[command](arguments[1:])
        return
    module = importlib.import_module(COMMANDS[command])
    sys.argv = [f"bert-tf {command}", *arguments[1:]]
    launching.run(module.main, module.define_flags)


def _configs(arguments: Sequence[str]) -> None:
    """List the experiments that `--config` takes by name."""
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


if __name__ == "__main__":
    main()
