"""Print the tables of all TPU topologies, or the fields of one topology on a line, for scripts.

```sh
bert-tf tpu-topologies --topology v5e-8 --fields accelerator_type,runtime_version,hosts
bert-tf tpu-topologies
```
"""

import dataclasses
from collections.abc import Sequence

from absl import flags

from bert_tf.utils import keras_backend, launching
from tpu_configs import table, topologies


def define_flags() -> None:
    """Define the flags of this command."""
    flags.DEFINE_string("topology", None, "The topology to print, such as v5e-8; without it, the tables are printed.")
    flags.DEFINE_enum("engine", None, keras_backend.ENGINES, "An engine that must run on the topology.")
    flags.DEFINE_list("fields", ["name"], "The names of the fields to print, separated by commas.")


def main(_: Sequence[str]) -> None:
    """Read the flags, and print the tables or the fields."""
    values = flags.FLAGS
    if values.topology is None:
        print("\n\n".join(table.markdown_tables()))
        return
    topology = topologies.load(values.topology)
    if values.engine is not None:
        topology.check_engine(values.engine)
    known = [field.name for field in dataclasses.fields(topology)]
    unknown = [name for name in values.fields if name not in known]
    if unknown:
        raise ValueError(f"--fields must be among {', '.join(known)}. Received: {unknown[0]!r}")
    print(*(getattr(topology, name) for name in values.fields))


if __name__ == "__main__":
    launching.run(main, define_flags)
