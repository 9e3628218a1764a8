"""Shell completion of `bert-tf` by argcomplete: commands, their flags and choices, and the names of experiments."""

import argparse
import importlib

import argcomplete
from absl import flags

from bert_tf.configs.experiment_files import list_experiments
from bert_tf.utils import launching
from experiments.commands import COMMANDS


def complete(line: str) -> None:
    """Print the completions that argcomplete's environment variables ask for, and exit.

    Args:
        line: the command line so far (`COMP_LINE`).
    """
    parser = argparse.ArgumentParser("bert-tf", add_help=False)
    subparsers = parser.add_subparsers()
    words = line.split()
    chosen = words[1] if len(words) > 1 else ""
    for command, module in COMMANDS.items():
        subparser = subparsers.add_parser(command)
        if command == chosen and module:  # the flags of the others need not be imported
            importlib.import_module(module).define_flags()
            for flag in launching.own_flags():
                _add(subparser, flag)
    argcomplete.autocomplete(parser, always_complete_options="long")


def _add(parser: argparse.ArgumentParser, flag: flags.Flag) -> None:
    if flag.boolean:
        parser.add_argument(f"--{flag.name}", f"--no{flag.name}", action="store_true", help=flag.help)
        return
    action = parser.add_argument(f"--{flag.name}", help=(flag.help or "").replace("%", "%%"))
    choices = getattr(flag.parser, "enum_values", None)
    if choices:
        action.choices = choices
    elif flag.name in ("config", "finetuning_config"):
        names = [experiment.name for experiment in list_experiments()]
        action.completer = argcomplete.completers.ChoicesCompleter(names)  # type: ignore[attr-defined, arg-type]
