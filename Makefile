# make demo | make test | make lint | make bench : each builds .venv first if it is missing.
PYTHON ?= python3
BIN := .venv/bin
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

.PHONY: demo test lint bench clean venv
venv: .venv/ready

# torch first and alone: later installs then find their torch satisfied and never fetch another build.
.venv/ready: constraints.txt pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -c constraints.txt setuptools wheel
	$(BIN)/python -m pip install --quiet -c constraints.txt torch==2.13.0
	$(BIN)/python -m pip install --quiet -c constraints.txt --no-build-isolation -e '.[dev]'
	touch $@

demo: .venv/ready
	$(BIN)/spikesim demo --out demo-out

test: .venv/ready
	$(BIN)/python -m pytest

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

bench: .venv/ready
	$(BIN)/python -m benchmarks $(CLAIM)

clean:
	rm -rf .venv build dist *.egg-info demo-out
