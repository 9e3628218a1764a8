"""The download of files by name from the Hugging Face hub, with its local cache, and the upload of folders."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# The hub has names `owner/name`. Its oldest models have no owner; those of BERT begin with `bert-`.
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*|bert-[\w.-]+")

_TIMEOUT = 3.0
"""Seconds to wait for the hub's first answer."""


def is_name(path: str) -> bool:
    """Return whether a path may be the name of a repository."""
    return _NAME.fullmatch(path) is not None


class Repository:
    """A repository on the hub, whose files are downloaded into the local cache when they are asked for.

    Without a network (or with `HF_HUB_OFFLINE=1`) only the local cache is searched. `HF_HOME` moves the cache.

    Args:
        name: `owner/name`, or `name` alone for the oldest models, such as `bert-base-uncased`.
        needed: the files to put into a folder by hand where the hub cannot be reached, for messages.

    Raises:
        FileNotFoundError: the package that reaches the hub is missing.
    """

    def __init__(self, name: str, needed: str) -> None:
        self._name = name
        self._advice = (
            f"Without the hub, put {needed} of https://huggingface.co/{name} into a folder, and give its path. "
            f"Received: {name!r}"
        )
        try:
            import huggingface_hub
        except ImportError:
            raise FileNotFoundError(
                f"`path`: no such folder. To fetch a model by its name, install the package huggingface_hub "
                f"(pip install 'bert_tf[hub]'). {self._advice}"
            ) from None
        self._hub: Any = huggingface_hub
        self._local_only = not _answers()

    def file(self, entry: str) -> str | None:
        """Return the local path of a file; None if the repository has no such file.

        Raises:
            FileNotFoundError: the repository cannot be reached. The message lists the files to download by hand.
        """
        from huggingface_hub.errors import EntryNotFoundError

        try:
            return self._hub.hf_hub_download(self._name, entry, local_files_only=self._local_only)
        except EntryNotFoundError:
            return None
        # The package has an exception each for an unknown name, a gated model, a missing network and a full disk.
        except (OSError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise FileNotFoundError(
                f"`path`: no such folder, and it cannot be fetched from the Hugging Face hub ({reason[:300]}). "
                f"{self._advice}"
            ) from None

    def folder_of(self, file: str | None, wanted: str) -> str:
        """Return the local folder of a file that must be there.

        Args:
            file: what `file` returned.
            wanted: the files that are missing if it is None, for the message.

        Raises:
            FileNotFoundError: the file is missing.
        """
        if file is None:
            raise FileNotFoundError(
                f"`path`: no such folder, and neither the Hugging Face hub (if it can be reached) nor its local cache "
                f"has {wanted} under this name. {self._advice}"
            )
        return os.path.dirname(file)


class HubMissingError(ImportError, ValueError):
    """The error that the hub's package is not installed. It is also a ValueError, which commands report in one line."""


class Upload:
    """An upload of a folder to a repository of models on the hub.

    Args:
        name: `owner/name`, or `name` alone for one of the user's own.
        token: the access token; None for the one that is stored on this computer.

    Attributes:
        name: `owner/name`.

    Raises:
        HubMissingError: the package that reaches the hub is missing.
        ValueError: `name` is no name of a repository, or there is no token.
        OSError: the user's name cannot be found, because the hub cannot be reached or refuses the token.
    """

    def __init__(self, name: str, token: str | None) -> None:
        try:
            import huggingface_hub
        except ImportError:
            raise HubMissingError(
                "huggingface_hub must be installed to push a model to the hub: pip install 'bert_tf[hub]'"
            ) from None
        from huggingface_hub.utils import validate_repo_id

        try:
            validate_repo_id(name)
        except ValueError as error:
            reason = " ".join(str(error).split())
            raise ValueError(f"`repo_id` must be the name of a repository ({reason}). Received: {name!r}") from None
        found = token or huggingface_hub.get_token()
        if not found:
            raise ValueError(
                "`token` must be an access token that may write (https://huggingface.co/settings/tokens), unless "
                f"`hf auth login` stored one or HF_TOKEN holds it. Received: {token!r}"
            )
        self.name = name
        self._api: Any = huggingface_hub.HfApi(token=found)
        if "/" not in name:
            with self._reported():
                self.name = f"{self._api.whoami()['name']}/{name}"

    def folder(self, path: str, *, private: bool, commit_message: str) -> str:
        """Upload the files of a local folder in one commit, and return the commit's address.

        Args:
            path: the folder.
            private: whether only the user may see the repository.
            commit_message: the message of the commit.

        Raises:
            PermissionError: the repository exists and is public, although `private` is True.
            OSError: the hub cannot be reached, or refuses the upload.
        """
        with self._reported():
            self._api.create_repo(self.name, private=private, exist_ok=True)
            # An existing repository stays as it is, whatever `private` says.
            is_public = private and not self._api.model_info(self.name).private
        if is_public:
            raise PermissionError(
                f"`private` must be False for a repository that exists and is public. Received: True, for {self.name!r}"
            )
        with self._reported():
            commit = self._api.upload_folder(repo_id=self.name, folder_path=path, commit_message=commit_message)
        return str(commit.commit_url)

    @contextmanager
    def _reported(self) -> Iterator[None]:
        """Turn the errors of the package into an OSError that names the repository."""
        try:
            yield
        # The package has an exception each for a refusal, a missing network and its offline mode; versions differ.
        except Exception as error:
            reason = " ".join(str(error).split())
            raise OSError(
                f"`repo_id`: the model cannot be pushed to {self._api.endpoint}/{self.name} ({reason[:300]})"
            ) from None


def _answers() -> bool:
    """Return whether the hub can be reached.

    Without this check, the package retries each file for half a minute.
    """
    from huggingface_hub import constants, get_session

    try:
        get_session().head(constants.ENDPOINT, timeout=_TIMEOUT)
    # Versions of the package use different HTTP libraries, each with its own exceptions.
    except Exception:
        return False
    return True
