"""The code that the workers of the generation benchmark share. It needs Python alone: each has its own environment.

A worker loads one implementation's model and then answers each line of its standard input, a JSON object with `texts`,
`beams` and `tokens`, by one line: `{"seconds": ..., "processor_seconds": ..., "tokens": [of each text]}`. The second
number is that of all threads.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Sequence

Generate = Callable[[Sequence[str], int, int], list[int]]
"""A function of texts, beams and tokens that generates so many tokens for each text, and returns their numbers."""


def serve(start: Callable[[str], tuple[Generate, dict[str, str]]]) -> None:
    """Run a worker whose only argument is the folder of its model.

    Args:
        start: a function from the folder to a function that generates, and the versions of packages.
    """
    # Libraries print to standard output. So answers go to a copy of it, and it becomes standard error.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    generate, versions = start(sys.argv[1])
    answers.write(json.dumps({"versions": versions}) + "\n")
    for line in sys.stdin:
        command = json.loads(line)
        begin, used = time.perf_counter(), time.process_time()
        tokens = generate(command["texts"], command["beams"], command["tokens"])
        seconds, used = time.perf_counter() - begin, time.process_time() - used
        answers.write(json.dumps({"seconds": seconds, "processor_seconds": used, "tokens": tokens}) + "\n")
