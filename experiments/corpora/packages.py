"""The packages whose documentation becomes a corpus: their table, their download and their unpacking.

Nothing is installed, and no code of a package is run: packages are downloaded by the system's own clients, apt-get and
pip, and unpacked into a folder.
"""

import dataclasses
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from bert_tf.utils import files


@dataclasses.dataclass(frozen=True)
class Source:
    """A package that holds documentation.

    Attributes:
        name: the name of the package in its registry.
        registry: `debian` or `pypi`.
        licence: the licence that the package states for most of its files.
        version: the version that was tried; a download takes the registry's current one.
    """

    name: str
    registry: str
    licence: str
    version: str


Fetch = Callable[[Source, Path], Path]
"""A function that downloads the package of a source into a folder, and returns the file."""


def read_sources(path: str) -> tuple[Source, ...]:
    """Return the sources of a table with the columns name, registry, licence and version, separated by tabs.

    Raises:
        ValueError: a line has other columns, or names an unknown registry.
        OSError: the file cannot be read.
    """
    sources = []
    for number, line in enumerate(files.read_text(path).splitlines()[1:], 2):
        cells = line.split("\t")
        if len(cells) != 4 or cells[1] not in ("debian", "pypi"):
            raise ValueError(
                f"{path}, line {number}: it must hold a name, debian or pypi, a licence and a version, separated by "
                f"tabs. Received: {line!r}"
            )
        sources.append(Source(*cells))
    return tuple(sources)


def fetch(source: Source, folder: Path) -> Path:
    """Download the package of a source into `folder`, and return its file. A file that is there already is kept.

    Raises:
        OSError: the client is missing, or could not download the package.
    """
    folder.mkdir(parents=True, exist_ok=True)
    patterns = {"debian": f"{source.name}_*.deb", "pypi": f"{source.name.replace('-', '_')}-*.whl"}
    standing = sorted(folder.glob(patterns[source.registry]))
    if standing:
        return standing[-1]
    partial = folder / f".{source.name}"  # a killed download leaves nothing that passes for a whole one
    partial.mkdir(exist_ok=True)
    if source.registry == "debian":
        command = ["apt-get", "download", "-q", source.name]
    else:
        options = ["--no-deps", "--only-binary", ":all:", "--quiet", "--dest", "."]
        command = [sys.executable, "-m", "pip", "download", *options, source.name]
    done = subprocess.run(command, cwd=partial, capture_output=True, text=True, check=False)
    found = sorted(path for path in partial.iterdir() if path.suffix in (".deb", ".whl"))
    if done.returncode or not found:
        reason = (done.stderr.strip().splitlines() or ["no file"])[-1]
        raise OSError(f"The package {source.name} could not be downloaded. {command[0]} says: {reason}")
    target = folder / found[-1].name
    os.replace(found[-1], target)
    shutil.rmtree(partial)
    return target


def version_of(package: Path) -> str:
    """Return the version that the file name of a package holds."""
    return package.stem.split("_" if package.suffix == ".deb" else "-")[1].replace("%3a", ":")


def unpack(package: Path, folder: Path) -> None:
    """Unpack a package (.deb, .whl, .zip or .tar.gz) into `folder`.

    Raises:
        OSError: the file is damaged, or `dpkg-deb` is missing.
        ValueError: the file has another suffix.
    """
    try:
        if package.suffix == ".deb":
            subprocess.run(["dpkg-deb", "-x", str(package), str(folder)], check=True, capture_output=True)
        elif package.suffix in (".whl", ".zip"):
            with zipfile.ZipFile(package) as archive:
                archive.extractall(folder)
        elif package.name.endswith(".tar.gz"):
            with tarfile.open(package) as archive:
                archive.extractall(folder, filter="data")
        else:
            raise ValueError(f"`package` must be a .deb, .whl, .zip or .tar.gz file. Received: {str(package)!r}")
    except (zipfile.BadZipFile, tarfile.TarError, subprocess.CalledProcessError) as error:
        raise OSError(f"{package} cannot be unpacked; remove it to download it again. Received: {error}") from None
