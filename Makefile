# Two commands do everything on a machine with Python 3.11 or later and make:
#   make run    sets up and runs the main job on the records, questions and model that come with the project
#   make test   sets up and runs the tests

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OUT ?= answers-sample

# pip lists every local package folder that it does not use; that is noise, errors are not.
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt
QUIETLY := 2> >(grep -v "is ignored: it is neither a file nor a directory" >&2)
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
# No reports to the makers of what is used.
export DO_NOT_TRACK := 1
export PREFECT_SERVER_ANALYTICS_ENABLED := false
export HF_HUB_DISABLE_TELEMETRY := 1
export RAY_USAGE_STATS_ENABLED := 0
.PHONY: help run test test-slow check fix clean

help: ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## /  make \1\t/' | expand -t 20

run: $(VENV)/.core ## run the main job on the embedded sample; a second run scores nothing anew
	@$(BIN)/python -m flows.run --questions data/sample/questions.txt --source sample --max-abstracts 5 \
	  --out $(OUT)

test: $(VENV)/.test ## run the tests (under 5 minutes after set-up)
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

test-slow: $(VENV)/.test ## run the slow tests too
	@$(PIP) --editable '.[test,ray]' $(QUIETLY)
	@$(BIN)/python -m pytest -m "not gpu and not network"

check: $(VENV)/.test ## formatting, lint, strict types, import directions, generated documents
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/python docs/make_columns.py --check

fix: $(VENV)/.test ## what tools can put right: formatting, lint, generated documents
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .
	@$(BIN)/python docs/make_columns.py

clean: ## delete the environment, caches and the sample's data set
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis build ./*.egg-info $(OUT)

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or later is needed; name one with make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) \
	  || { rm -rf $(VENV); echo "no virtual environment: install your system's python3-venv package" >&2; exit 1; }

$(VENV)/.core: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "setting up $(VENV) (once; some minutes)" >&2
	@$(PIP) --editable . $(QUIETLY)
	@touch $@

$(VENV)/.test: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "setting up $(VENV) for tests (once; some minutes)" >&2
	@$(PIP) --editable '.[test]' $(QUIETLY)
	@touch $@ $(VENV)/.core
