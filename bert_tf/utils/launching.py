"""How every command starts: flags parsed by absl, bad input told in one line."""

import os
import sys
from collections.abc import Callable, Sequence

from absl import app, flags, logging

from bert_tf.utils import arguments, preemption

# Before anything imports TensorFlow: its notes on CPU instructions are no news to who launches a job, nor, on a machine
# without an NVIDIA device, its error that CUDA does not start.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2" if os.path.exists("/dev/nvidiactl") else "3")


def run(main: Callable[[Sequence[str]], None]) -> None:
    """`absl.app.run`, with expected errors as one line and exit code 2.

    Those are the errors of bad input (ValueError, OSError) and of training that diverges (FloatingPointError). Any
    other exception is a fault of the program and keeps its traceback; so do these under `BERT_TF_TRACEBACK=1`.
    Arguments that are no flags are refused: they are misspelt flags.
    A run that SIGTERM stopped ends with `--preemption_exit_code`, where a launcher has that flag, else with 143; and
    Ctrl-C ends with exit code 130, and a reader of standard output that has gone away (`... | head`) with 141,
    as shells count signals.
    """

    def guarded(argv: Sequence[str]) -> None:
        try:
            if len(argv) > 1:
                raise ValueError(f"arguments must be flags, --name=value. Received: {argv[1]!r}")
            main(argv)
            sys.stdout.flush()
        except BrokenPipeError:
            # What is still buffered has no reader; without this Python reports it once more at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(141)
        except (ValueError, OSError, FloatingPointError) as error:
            if os.environ.get("BERT_TF_TRACEBACK"):
                raise
            # The library names its arguments; to whoever launched it they are flags.
            arguments.replace_names(error, {name: f"--{name}" for name in flags.FLAGS})
            print(f"error: {error}", file=sys.stderr)
            sys.exit(2)
        except preemption.Preempted as notice:
            print(notice, file=sys.stderr)
            sys.exit(flags.FLAGS.get_flag_value("preemption_exit_code", preemption.EXIT_CODE))
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            sys.exit(130)

    logging.set_verbosity(logging.WARNING)
    app.run(guarded)


def whole_numbers(values: Sequence[str], flag: str) -> list[int]:
    """The numbers of a list that came from `flag`, such as `0,1,2`.

    Raises:
        ValueError: one is no whole number, or stands there twice.
    """
    if not all(value.strip().isdecimal() for value in values) or len({int(value) for value in values}) < len(values):
        raise ValueError(f"{flag} takes whole numbers, each once, such as 0,1,2. Received: {','.join(values)!r}")
    return [int(value) for value in values]
