"""Check every record of a folder, checksums included, against the manifest.

```bash
bert-tf verify-records --records records
```
"""

from collections.abc import Sequence

from absl import flags

from bert_tf.utils import launching
from bert_tf.utils.arguments import renamed
from data_pipelines.records.manifest import read_manifest, read_vocabulary
from data_pipelines.records.verification import find_faults


def define_flags() -> None:
    """Define the flags of this command."""
    flags.DEFINE_string("records", None, "Record folder.", required=True)


def main(_: Sequence[str]) -> None:
    """Read the flags, and print that all records are sound, or fail at the first fault."""
    folder = flags.FLAGS.records
    with renamed(folder="records"):
        manifest = read_manifest(folder, allow_damage=True)
        faults = list(find_faults(folder, manifest, read_vocabulary(folder, manifest)))
    for fault in faults[1:]:
        print(fault)
    if faults:
        raise ValueError(f"--records: {faults[0]}" + (f" (and {len(faults) - 1} more, above)" if faults[1:] else ""))
    print(f"{folder}: {manifest.num_records:,} records in {len(manifest.shards):,} shards are sound")


if __name__ == "__main__":
    launching.run(main, define_flags)
