# Each target sets itself up: a bare machine with Python 3.11+ (venv and pip) and make is enough.
# .venv is made once and reused while pyproject.toml and constraints.txt stay as they were.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
OUT ?= demo
PYTEST_ARGS ?= -n 2 --dist loadfile

.PHONY: demo test lint clean help

help:  ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /make \1: /p' Makefile

demo: $(VENV)/run.stamp  ## simulate a bookshop, train on it, write the report to ./demo
	$(BIN)/reckon demo --out $(OUT)

test: $(VENV)/dev.stamp  ## run the tests
	$(BIN)/python -m pytest $(PYTEST_ARGS)

lint: $(VENV)/dev.stamp  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

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

$(VENV)/dev.stamp: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing Reckon and its test tools into $(VENV) (once; PyTorch is large)"
	$(INSTALL) --editable '.[dev,postgres]'
	@touch $@ $(VENV)/run.stamp
