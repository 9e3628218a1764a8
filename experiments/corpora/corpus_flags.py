"""The flags of the commands that assemble a corpus."""

from typing import Any

from absl import flags


def define() -> None:
    """Define the flags. Only a module that is launched may call this."""
    flags.DEFINE_string("output_dir", None, "The local folder for downloads, parts and the corpus.", required=True)
    flags.DEFINE_string("sources", None, "A table of packages to take instead of the command's own.")
    flags.DEFINE_list("extra_files", [], "Your own text files, each of which becomes a document.")
    flags.DEFINE_float("holdout", 0.02, "The share of documents that are held out.")
    flags.DEFINE_integer("num_workers", 0, "The number of processes; 0 for one a core. It does not change the corpus.")


def arguments(values: Any) -> dict[str, Any]:
    """Return the arguments of `assembly.assemble` that the flags hold."""
    return {name: getattr(values, name) for name in ("output_dir", "extra_files", "holdout", "num_workers")}
