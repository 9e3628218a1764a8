"""The settings of Sphinx, which builds this folder into a site: `make docs`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # the extensions of this folder

project = "bert_tf"
author = "the bert_tf founders"
copyright = "2026, the bert_tf founders"

extensions = ["myst_parser", "reference_pages", "markdown_twins", "editions"]
source_suffix = {".md": "markdown"}
myst_heading_anchors = 3
exclude_patterns = ["_build", "zh/README.md"]  # GitHub shows the Chinese README, whose links lead out of this folder

html_theme = "furo"
html_title = "bert_tf"
html_search_language = "en_zh"  # of `editions`
html_static_path = ["static"]
html_css_files = ["book.css"]
