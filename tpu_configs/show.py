"""Print fields of a topology's file on one line, for the scripts beside it.

```sh
python -m tpu_configs.show --topology v5e-8 --fields accelerator_type,runtime_version,hosts
```
"""

import dataclasses
from collections.abc import Sequence

from absl import flags

from bert_tf import launching
from tpu_configs import topologies


def main(_: Sequence[str]) -> None:
    """Read the flags, print."""
    values = flags.FLAGS
    topology = topologies.load(values.topology)
    known = [field.name for field in dataclasses.fields(topology)]
    unknown = [name for name in values.fields if name not in known]
    if unknown:
        raise ValueError(f"--fields must be of {', '.join(known)}. Received: {unknown[0]!r}")
    print(*(getattr(topology, name) for name in values.fields))


if __name__ == "__main__":
    flags.DEFINE_string("topology", None, "One of the topologies with a file, such as v5e-8.", required=True)
    flags.DEFINE_list("fields", None, "Names of fields, separated by commas.", required=True)
    launching.run(main)
