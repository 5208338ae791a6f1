# karyo. `make help` lists what there is; each target does the set-up that it needs.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
PROFILE ?= quick
ARGS ?=
# GPU=1 sets up TensorFlow with its CUDA packages, for an NVIDIA card with a driver of 525 or newer.
GPU ?=
# What the API page describes: the front door, and the rooms behind it.
API := karyo_lib $(foreach room,iscn files shape draw judge networks read screening,karyo_lib.$(room)) '!karyo_lib[.].*[.].*'
LOCKED := $(if $(GPU),requirements-gpu.txt,requirements.txt)
# The first Python that the locked packages support; set PYTHON to choose another.
PYTHON ?= $(firstword $(foreach name,python3.11 python3.12 python3.13 python3,$(shell \
	$(name) -c 'import sys; (3, 11) <= sys.version_info < (3, 14) and print("$(name)")' 2>/dev/null)))
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
LOCK := uv pip compile pyproject.toml --universal --fork-strategy fewest --python-version 3.11 \
	--generate-hashes --no-header --no-annotate --no-emit-index-url --quiet

help:  ## List the targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

setup: $(VENV)/.runtime  ## Make the environment in .venv from the locked, hash-pinned requirements

reports: $(VENV)/.runtime  ## Run the seven notebooks into reports/quick (PROFILE=smoke, quick or thesis)
	@$(BIN)/karyo run --profile $(PROFILE) $(ARGS)

test: $(VENV)/.test  ## Run the tests
	@$(BIN)/python -m pytest --numprocesses logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder $(ARGS)

bench: $(VENV)/.runtime  ## Measure speed and memory against other ways, into reports/bench
	@$(BIN)/python -m benchmarks $(ARGS)

bench-aucmedi: | $(BIN)/python  ## Make the environment in which make bench runs AUCMEDI
	@$(PYTHON) -m venv .venv-aucmedi
	@.venv-aucmedi/bin/python -m pip --disable-pip-version-check install "aucmedi==0.11.*"

docs: $(VENV)/.runtime  ## Write the API page, docs/api/index.html, from the docstrings
	@$(PIP) install --quiet '.[docs]'
	@$(BIN)/pdoc --docformat numpy --no-show-source -o docs/api $(API)
	@echo docs/api/index.html

figures:  ## Write the README's tables from data/figures.csv (ARGS="--run reports/quick" renews the thesis's)
	@$(BIN)/python -m benchmarks.figures $(ARGS)

lint: $(VENV)/.test  ## Check the style
	@$(BIN)/ruff check .

lines:  ## Count the lines of Python under karyo_lib
	@find karyo_lib -name '*.py' -exec cat {} + | wc -l

lab: $(VENV)/.runtime  ## Open JupyterLab on the notebooks
	@$(BIN)/jupyter lab notebooks

lock:  ## Renew the locked requirements (needs uv)
	$(LOCK) --extra fast --extra test --extra cluster -o requirements-test.txt $(ARGS)
	$(LOCK) --extra fast --constraint requirements-test.txt -o requirements.txt $(ARGS)
	$(LOCK) --extra fast --extra gpu --constraint requirements-test.txt -o requirements-gpu.txt $(ARGS)

clean:  ## Remove caches and builds; reports and .venv stay
	@rm -rf build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

$(BIN)/python:
	@if [ -z "$(PYTHON)" ]; then echo "karyo needs Python 3.11, 3.12 or 3.13; set PYTHON=/path/to/python" >&2; exit 1; fi
	@$(PYTHON) -m venv $(VENV) || { echo "If the venv module is missing: apt install python3-venv" >&2; exit 1; }

$(VENV)/.runtime: $(LOCKED) pyproject.toml | $(BIN)/python
	@echo "Installing karyo's packages into $(VENV): some minutes, about 2 GB"
	@$(PIP) install --require-hashes -r $(LOCKED)
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.test: requirements-test.txt $(VENV)/.runtime
	@$(PIP) install --require-hashes -r requirements-test.txt
	@touch $@

.PHONY: help setup reports bench bench-aucmedi test docs figures lint lines lab lock clean
