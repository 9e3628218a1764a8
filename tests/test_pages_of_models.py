"""The commands and the Python of the pages on models in use, and of the README, run as printed."""

import pytest
from page_commands import GROUPS, run_pages


@pytest.mark.long
def test_commands_run_as_printed(tmp_path):
    run_pages(GROUPS["models"], tmp_path)
