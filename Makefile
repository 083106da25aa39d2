# Each target sets itself up: a bare machine with Python 3.11+ (venv and pip) and make is enough.
# .venv is made once and reused while pyproject.toml and constraints.txt stay as they were.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
OUT ?= demo
PYTEST_ARGS ?= -n 2 --dist loadfile --no-loadscope-reorder

# `make real`: MODEL as `reckon backbone import` takes it, DATA as `reckon data prepare` takes it, with its options.
REAL ?= real
MODEL ?= smollm2
DATA ?= bookshop
ROWS ?= 64
TRAIN_ARGS ?=
RESUME = $(if $(wildcard $(REAL)/$*/checkpoint-*),--resume)
FIRST_TEST_USER = from reckon.data import Dataset; print(Dataset.load("$(REAL)/data").examples("test").user_ids[0])

.PHONY: demo serve real test lint clean help

help:  ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /make \1: /p' Makefile

demo: $(VENV)/run.stamp  ## simulate a bookshop, train on it, write the report to ./demo
	$(BIN)/reckon demo --out $(OUT)

serve: $(VENV)/serve.stamp $(OUT)/full/manifest.json  ## serve the demo's run at http://localhost:8000, pages included
	$(BIN)/reckon serve $(OUT)/full

$(OUT)/full/manifest.json: | $(VENV)/serve.stamp
	$(BIN)/reckon demo --out $(OUT)

real: $(REAL)/full/evaluation/report.html  ## train R2ec on an open language model: MODEL=smollm2 DATA=bookshop; results in ./real
	$(BIN)/reckon recommend $(REAL)/full --user "$$($(BIN)/python -c '$(FIRST_TEST_USER)')" --k 5 --stream

$(REAL)/full/evaluation/report.html: $(REAL)/no-reasoning/manifest.json $(REAL)/full/manifest.json
	$(BIN)/reckon evaluate $(REAL)/full --beside $(REAL)/no-reasoning --rows $(ROWS)

$(REAL)/%/manifest.json: $(REAL)/model/config.json $(REAL)/data/dataset.json
	$(BIN)/reckon train r2ec --data $(REAL)/data --backbone $(REAL)/model --out $(REAL)/$* --preset laptop --arm $* $(RESUME) $(TRAIN_ARGS)

$(REAL)/model/config.json: | $(VENV)/real.stamp
	$(BIN)/reckon backbone import $(MODEL) --out $(REAL)/model

$(REAL)/data/dataset.json: | $(VENV)/real.stamp
	$(BIN)/reckon data prepare $(DATA) $(REAL)/data

# With bytecode written: the workers of the tests, and the processes that the tests start, import the same files.
test: $(VENV)/dev.stamp  ## run the tests
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest $(PYTEST_ARGS)

lint: $(VENV)/dev.stamp  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --num-workers 2

clean:  ## remove the environment and caches
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Reckon needs Python 3.11 or newer: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/run.stamp: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing Reckon into $(VENV) (once; PyTorch is large)"
	$(INSTALL) --editable .
	@touch $@

$(VENV)/serve.stamp: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing Reckon into $(VENV) (once; PyTorch is large)"
	$(INSTALL) --editable '.[serve]'
	@touch $@ $(VENV)/run.stamp

$(VENV)/real.stamp: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing Reckon into $(VENV) (once; PyTorch is large)"
	$(INSTALL) --editable '.[gguf]'
	@touch $@ $(VENV)/run.stamp

$(VENV)/dev.stamp: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing Reckon and its test tools into $(VENV) (once; PyTorch is large)"
	$(INSTALL) --editable '.[dev,postgres]'
	@touch $@ $(VENV)/run.stamp $(VENV)/real.stamp $(VENV)/serve.stamp
