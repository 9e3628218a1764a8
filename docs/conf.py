"""The settings of Sphinx, which builds this folder into a site: `make docs`."""

project = "bert_tf"
author = "the bert_tf founders"
copyright = "2026, the bert_tf founders"

extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
myst_heading_anchors = 3
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = "bert_tf"
