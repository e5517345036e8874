# Two commands do everything on a machine with Python 3.11 or later and make:
#   make run    sets up and runs the main job on the records, questions and model that come with the project
#   make test   sets up and runs the tests

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEFAULT_OUT := answers-sample
OUT ?= $(DEFAULT_OUT)
SECONDS ?= 60
N ?= 10000
SEED ?= 1
# "no" takes the versions of constraints.txt from an index whose files are others than PyPI's, without their hashes.
HASHES ?= yes

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
.PHONY: help run test test-slow fuzz check fix faults audit clean

help: ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## /  make \1\t/' | expand -t 20

run: $(VENV)/.core ## run the main job on the embedded sample; a second run scores nothing anew
	@echo "asking 22 questions of the sample's records (about a minute; 20 s of it until Prefect has started)" >&2
	@$(BIN)/python -m flows.run --questions data/sample/questions.txt --source sample --max-abstracts 5 \
	  --out $(OUT)

test: $(VENV)/.test ## run the tests (under 5 minutes after set-up)
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 3 --dist loadfile

test-slow: $(VENV)/.test ## run the slow tests too
	@$(PIP) --editable '.[test,ray]' $(QUIETLY)
	@$(BIN)/python -m pytest -m "not gpu and not network"

fuzz: $(VENV)/.test ## try every reader with broken files and answers, SECONDS for each (60); exit 1 where one is not refused
	@PYTHONPATH=tests $(BIN)/python -m fuzz --seconds $(SECONDS)

check: $(VENV)/.test ## formatting, lint, strict types, import directions, generated documents
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/python docs/make_columns.py --check
	@$(BIN)/python docs/make_contract.py --check

fix: $(VENV)/.test ## what tools can put right: formatting, lint, generated documents
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .
	@$(BIN)/python docs/make_columns.py
	@$(BIN)/python docs/make_contract.py

faults: $(VENV)/.test ## inject ten thousand faults by seed (N=..., SEED=...); nothing may be lost or doubled
	@cd tests && ../$(BIN)/python -m faults --n $(N) --seed $(SEED)

audit: $(VENV)/.core ## what is installed: docs/licences.md, and a CycloneDX list of parts in build/
	@$(PYTHON) -m venv $(VENV)/audit
	@$(VENV)/audit/bin/python -m pip --disable-pip-version-check install --quiet --require-hashes --no-deps \
	  --requirement requirements/audit.lock $(QUIETLY)
	@mkdir -p build
	@cat requirements/core.lock requirements/torch.lock > build/requirements.lock
	@PYTHONWARNINGS=ignore $(VENV)/audit/bin/cyclonedx-py requirements build/requirements.lock --pyproject pyproject.toml \
	  --output-reproducible --output-format JSON --output-file build/bioqa.cdx.json
	@$(BIN)/python docs/make_licences.py $(VENV)/audit/bin/pip-licenses

clean: ## delete the environment, caches and the sample's data set
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis build ./*.egg-info $(DEFAULT_OUT)

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or later is needed; name one with make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) \
	  || { rm -rf $(VENV); echo "no virtual environment: install your system's python3-venv package" >&2; exit 1; }

# Each file of a package has to be the one that PyPI had when its hash was written down (requirements/). torch is what the
# index has of it, for CPU or CUDA, with what that build brings along.
ifeq ($(HASHES),yes)
define INSTALL
	@echo "  1 of 3: packages of requirements/$(1).lock, each with its hash (1 to 3 minutes)" >&2
	@$(BIN)/python -m pip --disable-pip-version-check install --quiet --require-hashes --no-deps \
	  --requirement requirements/$(1).lock $(QUIETLY)
	@echo "  2 of 3: torch, the largest (1 to 5 minutes, by the network)" >&2
	@$(PIP) torch $(QUIETLY)
	@echo "  3 of 3: this project itself (seconds)" >&2
	@$(PIP) --no-build-isolation --no-deps --editable . $(QUIETLY)
endef
else
define INSTALL
	@$(PIP) --editable '.$(2)' $(QUIETLY)
endef
endif

$(VENV)/.core: pyproject.toml constraints.txt requirements/core.lock | $(VENV)/bin/python
	@echo "setting up $(VENV) (once; some minutes)" >&2
	$(call INSTALL,core)
	@touch $@

$(VENV)/.test: pyproject.toml constraints.txt requirements/test.lock | $(VENV)/bin/python
	@echo "setting up $(VENV) for tests (once; some minutes)" >&2
	$(call INSTALL,test,[test])
	@touch $@ $(VENV)/.core
