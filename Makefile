# Each target does all set-up it needs, in an environment of its own; only python3 (3.11 to 3.13, with venv) is assumed.
#
#   make quickstart                      # text -> records -> pre-training -> fine-tuning -> a served model
#   make test TENSORFLOW=2.20            # on the last version that has a TPU wheel, in .venv-2.20
#
# One environment serves every target, extras included: the quickstart's default corpus is the documentation of the
# installed packages, so the same packages give the same corpus and the same metrics.

PYTHON ?= python3
TENSORFLOW ?= 2.21
VENV ?= .venv$(if $(filter-out 2.21,$(TENSORFLOW)),-$(TENSORFLOW))
EXTRAS = cpu,text,litert,ann,hub,tfds,plot,test,dev
ARGS ?=
# Tests of one file share fixtures, so they share a process. One process runs on each core, at most four for memory.
# tests/conftest.py orders the files.
PYTEST = $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

BIN = $(VENV)/bin
INSTALLED = $(VENV)/.installed
# Exists while an installation runs. An environment that holds it was interrupted, and is removed.
INSTALLING = $(VENV)/.installing
# Packages that only tests use; outside site-packages, whose documentation is the quickstart's corpus.
TEST_PACKAGES = $(VENV)/test-packages/.installed
# Google's TPU compiler wants a JAX and a libtpu of its own, and the TPU's kernels (ROUTE=b) another TensorFlow.
TPU_CHECK = .venv-tpu/.installed
TPU_KERNELS = .venv-tpu-kernels/.installed
DOCS = .venv-docs/.installed
SOURCES = bert_tf data_pipelines experiments tpu_configs tests docs

.DEFAULT_GOAL := help
.PHONY: help quickstart checkpoint test test-long test-release tpu-check docs dist lint format clean

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*  ## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

quickstart: $(INSTALLED)  ## the whole path on this machine; ARGS="--corpus 'docs/*.txt'" for your own text
	@$(BIN)/python -m experiments.quickstart $(ARGS)

checkpoint: $(INSTALLED)  ## pre-train BERT-mini on the documentation of packages (half an hour to three hours on two cores; goes on after a stop); ARGS="--dry_run"
	@$(BIN)/python -m experiments.checkpoint $(ARGS)

test: $(TEST_PACKAGES)  ## the quick tests; ARGS="tests/test_files.py" for some of them
	@$(PYTEST) $(ARGS)

test-long: $(TEST_PACKAGES)  ## the tests that take minutes
	@$(PYTEST) -m "long and not release" $(ARGS)

tpu-check: $(TPU_CHECK) $(if $(filter b,$(ROUTE)),$(TPU_KERNELS))  ## compile the training step for a TPU, without one; ARGS="--topology v5e-8"
	@.venv-tpu/bin/python -m tpu_configs.check $(if $(ROUTE),--route=$(ROUTE)) $(ARGS)

test-release: $(TEST_PACKAGES)  ## all tests, then the quick ones on TensorFlow 2.20; run by hand before a release
	@$(PYTEST) -m "" $(ARGS)
	@$(MAKE) --no-print-directory test TENSORFLOW=2.20

docs: $(DOCS)  ## the site of docs/, in docs/_build; a broken link or reference is an error
	@.venv-docs/bin/python -m sphinx --fail-on-warning --keep-going --quiet docs docs/_build
	@echo "docs/_build/index.html"

dist: $(INSTALLED)  ## the source distribution and the wheel, in dist/
	@rm -rf dist build && $(BIN)/python -m build --quiet --no-isolation
	@ls dist

lint: $(INSTALLED)  ## ruff (rules and format) and mypy
	@$(BIN)/ruff check $(SOURCES)
	@$(BIN)/ruff format --check $(SOURCES)
	@$(BIN)/mypy

format: $(INSTALLED)  ## rewrite the sources in the project's format
	@$(BIN)/ruff check --fix $(SOURCES)
	@$(BIN)/ruff format $(SOURCES)

clean:  ## remove environments, caches and build products; runs/ stays
	@rm -rf .venv .venv-* build dist docs/_build *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
	@find $(SOURCES) -name __pycache__ -type d -prune -exec rm -rf {} +

# tensorflow-text is compiled against one minor version of tensorflow: both are pinned to the same.
$(INSTALLED): setup.cfg pyproject.toml
	@$(PYTHON) -c 'import sys; (3, 11) <= sys.version_info < (3, 14) or sys.exit("error: Python 3.11 to 3.13 \
	is needed (make PYTHON=...). Received: " + sys.version.split()[0])'
	@if [ -e $(INSTALLING) ]; then echo "An installation in $(VENV) was interrupted: starting again"; rm -rf $(VENV); fi
	@echo "Installing into $(VENV): TensorFlow $(TENSORFLOW) and the extras $(EXTRAS) (once; about two minutes)"
	@mkdir -p $(VENV) && rm -f $@ && touch $(INSTALLING)
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-input --editable '.[$(EXTRAS)]' \
		'tensorflow==$(TENSORFLOW).*' 'tensorflow-text==$(TENSORFLOW).*'
	@rm -f $(INSTALLING) && touch $@
	@$(BIN)/python -m pip --disable-pip-version-check freeze | grep -iE '^(tensorflow|tensorflow[-_]text|keras|keras[-_]hub)=='

$(TPU_CHECK): setup.cfg
	@echo "Installing into .venv-tpu: TensorFlow, JAX and Google's TPU compiler (once; about two minutes, 3 GB)"
	@rm -rf .venv-tpu && $(PYTHON) -m venv .venv-tpu
	@.venv-tpu/bin/python -m pip install -qq --disable-pip-version-check --no-input --editable '.[tpu-check]'
	@touch $@

$(TPU_KERNELS): setup.cfg tpu_configs/install.sh tpu_configs/requirements-tpu.txt
	@echo "Installing into .venv-tpu-kernels: TensorFlow for TPU (once; about two minutes, 2 GB)"
	@rm -rf .venv-tpu-kernels && $(PYTHON) -m venv .venv-tpu-kernels
	@PYTHON=.venv-tpu-kernels/bin/python tpu_configs/install.sh
	@touch $@

$(DOCS): setup.cfg
	@echo "Installing into .venv-docs: Sphinx (once; half a minute)"
	@rm -rf .venv-docs && $(PYTHON) -m venv .venv-docs
	@$(PYTHON) -c 'import configparser as c; p = c.ConfigParser(); p.read("setup.cfg"); print(p["options.extras_require"]["docs"])' \
		> .venv-docs/requirements.txt
	@.venv-docs/bin/python -m pip install -qq --disable-pip-version-check --no-input -r .venv-docs/requirements.txt
	@touch $@

$(TEST_PACKAGES): $(INSTALLED) tests/packages.txt
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-input --no-deps --upgrade \
		--target $(dir $@) -r tests/packages.txt
	@touch $@
