"""The start of every command: absl parses flags, help needs no heavy imports, and bad input is reported in one line."""

import logging as python_logging
import os
import re
import sys
import textwrap
from collections.abc import Callable, Sequence

from absl import app, flags, logging

from bert_tf.utils import arguments, preemption, quiet_imports

_HELP = {"-h", "-help", "--h", "--help", "--helpshort", "-helpshort"}
_FLAG_NAMES = {"run_dir": "model_dir"}
"""The flags of those library arguments whose names differ from the flags."""
_ABSL_MODULES = ("absl.", "tensorflow", "keras")


def run(main: Callable[[Sequence[str]], None], define_flags: Callable[[], None]) -> None:
    """Parse the flags, run `main` by `absl.app.run`, and report expected errors in one line with exit code 2.

    Expected errors are those of bad input (ValueError, OSError) and of training that diverges (FloatingPointError). Any
    other exception is a fault of the program and keeps its traceback. `BERT_TF_TRACEBACK=1` shows every traceback.
    Arguments that are not flags are refused, because they are misspelt flags. A run that SIGTERM stopped ends with
    `--preemption_exit_code` if the command has this flag, else with 143. As in shells, the exit code is 130 after
    Ctrl-C, and 141 if the reader of standard output has ended (`... | head`).

    Args:
        main: the function that reads `absl.flags.FLAGS` and does the work.
        define_flags: the function that defines the command's flags, which is called first.
    """
    define_flags()
    module = sys.modules[main.__module__]
    if _HELP & set(sys.argv[1:]):
        print(help_text(module.__doc__ or "", sys.argv[0]))
        sys.exit(0)

    def guarded(argv: Sequence[str]) -> None:
        try:
            if len(argv) > 1:
                raise ValueError(f"arguments must be flags, --name=value. Received: {argv[1]!r}")
            main(argv)
            sys.stdout.flush()
        except BrokenPipeError:
            # The buffered output has no reader. Without this line, Python would report the error once more at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(141)
        except (ValueError, OSError, FloatingPointError) as error:
            if os.environ.get("BERT_TF_TRACEBACK"):
                raise
            _name_flags(error)
            print(f"error: {error}", file=sys.stderr)
            if isinstance(error, ConnectionError):
                # A job has lost a process, which libraries would wait for when this one exits.
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(2)
            sys.exit(2)
        except preemption.Preempted as notice:
            print(notice, file=sys.stderr)
            sys.exit(flags.FLAGS.get_flag_value("preemption_exit_code", preemption.EXIT_CODE))
        except KeyboardInterrupt as notice:
            print(str(notice) or "interrupted", file=sys.stderr)
            sys.exit(130)

    quiet_imports.install()
    logging.set_verbosity(logging.WARNING)
    python_logging.getLogger("tensorflow").addFilter(_is_for_users)
    app.run(guarded)


def _is_for_users(record: python_logging.LogRecord) -> bool:
    """Return False for TensorFlow's advice to programmers that functions are traced often: each shape needs a trace."""
    return "triggered tf.function retracing" not in str(record.msg)


def _name_flags(error: Exception) -> None:
    """Replace the library's names of arguments, which the user knows as flags, in the error's message, in place."""
    shown = {name: f"--{name}" for name in flags.FLAGS}
    shown |= {name: shown[flag] for name, flag in _FLAG_NAMES.items() if flag in shown}
    arguments.replace_names(error, shown)


def warn(message: str) -> None:
    """Print a warning on standard error, with the library's names of arguments replaced by flags."""
    holder = ValueError(message)
    _name_flags(holder)
    print(f"warning: {holder}", file=sys.stderr)


def help_text(documentation: str, program: str) -> str:
    """Return the help of a command: its documentation, then each flag with its meaning and default.

    Args:
        documentation: the docstring of the command's module.
        program: the name by which the command was called.
    """
    lines = [documentation.strip(), "", f"Flags of {os.path.basename(program)}:"]
    for flag in own_flags():
        name = f"--[no]{flag.name}" if flag.boolean else f"--{flag.name}"
        choices = getattr(flag.parser, "enum_values", None)
        if choices:
            name += f"={'|'.join(choices)}"
        lines += [
            "",
            f"  {name}",
            *textwrap.wrap(_sentence_of(flag), 96, initial_indent=" " * 6, subsequent_indent=" " * 6),
        ]
        if flag.default is not None and flag.default != []:
            lines.append(f"      default: {flag.default_as_str}")
    return "\n".join(lines)


def _sentence_of(flag: flags.Flag) -> str:
    """Return the help of a flag without what absl adds about choices and repetition."""
    return re.sub(r"^<[^<>]*\|[^<>]*>: |;\s+repeat this option to specify a list of values$", "", flag.help)


def own_flags() -> list[flags.Flag]:
    """Return the flags that this project's modules have defined in this process, by name."""
    found = {
        flag.name: flag
        for module, members in flags.FLAGS.flags_by_module_dict().items()
        if not module.startswith(_ABSL_MODULES) and module != "absl"
        for flag in members
    }
    return [found[name] for name in sorted(found)]


def suggest(command: str) -> None:
    """Print, on standard error, the command that reads the output of this one."""
    print(f"Next: {command}", file=sys.stderr)


def whole_numbers(values: Sequence[str], argument: str) -> list[int]:
    """Return the numbers of a list such as `0,1,2`.

    Args:
        values: the parts of the list.
        argument: the name of the argument that holds the list, for the message.

    Raises:
        ValueError: a value is not a whole number, or occurs twice.
    """
    if not all(value.strip().isdecimal() for value in values) or len({int(value) for value in values}) < len(values):
        raise ValueError(f"`{argument}` takes whole numbers, each once, such as 0,1,2. Received: {','.join(values)!r}")
    return [int(value) for value in values]
