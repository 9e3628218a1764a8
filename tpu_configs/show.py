"""Print all topologies as a table, or the fields of one on one line, for scripts.

```sh
python -m tpu_configs.show --topology v5e-8 --fields accelerator_type,runtime_version,hosts
python -m tpu_configs.show
```
"""

import dataclasses
from collections.abc import Sequence

from absl import flags

from bert_tf.utils import launching
from tpu_configs import table, topologies


def define_flags() -> None:
    """Define the flags of this command."""
    flags.DEFINE_string("topology", None, "One of the topologies with a file, such as v5e-8; the table without it.")
    flags.DEFINE_list("fields", ["name"], "Names of fields, separated by commas.")


def main(_: Sequence[str]) -> None:
    """Read the flags, print."""
    values = flags.FLAGS
    if values.topology is None:
        print(table.markdown_table())
        return
    topology = topologies.load(values.topology)
    known = [field.name for field in dataclasses.fields(topology)]
    unknown = [name for name in values.fields if name not in known]
    if unknown:
        raise ValueError(f"--fields must be of {', '.join(known)}. Received: {unknown[0]!r}")
    print(*(getattr(topology, name) for name in values.fields))


if __name__ == "__main__":
    launching.run(main, define_flags)
