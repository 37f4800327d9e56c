# Every target sets up what it needs, quickly when it is there already.
#
#   make test-pipeline PIPELINE=examples/breast-cancer [ARGS="-p NAME=VALUE …"]
#   make test          everything but the long suites
#   make test-full     everything
#   make lint          ruff and mypy
#   make images        build the stand-in images ahead of time
#   make engine-stop   stop the container engine, if docker/engine.sh started it
#   make clean         remove what runs left in the engine, and caches

VENV := .venv
PIPELINE ?= examples/breast-cancer
ARGS ?=
PYTEST_ARGS ?=

.PHONY: help test-pipeline plan test test-full lint engine engine-stop images clean
.DEFAULT_GOAL := help

help:
	@sed -n 's/^#   //p' Makefile

# The first interpreter of 3.10 or newer that can make virtual environments.
$(VENV)/bin/python:
	@for python in $(PYTHON) python3.12 python3.13 python3.11 python3.10 python3; do \
	  if $$python -c 'import sys, ensurepip; sys.exit(sys.version_info < (3, 10))' >/dev/null 2>&1; then \
	    echo "making $(VENV) with $$python"; exec $$python -m venv $(VENV); fi; \
	done; \
	echo "make: no Python of 3.10 or newer with venv was found; install one (Debian: apt-get install python3-venv), or name it: make PYTHON=…" >&2; \
	exit 2

$(VENV)/.ready: $(VENV)/bin/python pyproject.toml
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[aws,images]'
	@touch $@

$(VENV)/.ready-dev: $(VENV)/.ready
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

engine:
	@docker/engine.sh start

engine-stop:
	@docker/engine.sh stop

test-pipeline: $(VENV)/.ready engine
	@$(VENV)/bin/harness run $(PIPELINE) $(ARGS)

plan: $(VENV)/.ready engine
	@$(VENV)/bin/harness plan $(PIPELINE) $(ARGS)

images: $(VENV)/.ready engine
	@$(VENV)/bin/harness images build

lint: $(VENV)/.ready-dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy

test: $(VENV)/.ready-dev engine lint
	$(VENV)/bin/python -m pytest -m "not long" $(PYTEST_ARGS)

test-full: $(VENV)/.ready-dev engine lint
	$(VENV)/bin/python -m pytest $(PYTEST_ARGS)

clean:
	@if [ -x $(VENV)/bin/harness ]; then $(VENV)/bin/harness clean || [ $$? -eq 3 ]; fi
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist
