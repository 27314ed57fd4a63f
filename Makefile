# make demo | make test | make lint | make bench : each builds .venv first if it is missing.
PYTHON ?= python3
BIN := .venv/bin
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

.PHONY: demo test lint bench clean venv peers
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
	$(BIN)/python -m pytest -n auto --maxprocesses 4

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

# With the peers beside us where `make peers` has been run.
bench: .venv/ready
	$(if $(wildcard .venv-peers/ready),.venv-peers,.venv)/bin/python -m benchmarks $(CLAIM)

# Every peer library in one environment, for benchmarks/ and benchmarks/agreement/.
peers: .venv-peers/ready

.venv-peers/ready: benchmarks/peers.txt constraints.txt
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/python -m pip install --quiet -c constraints.txt setuptools wheel
	.venv-peers/bin/python -m pip install --quiet torch==2.13.0 numpy==2.3.5
	.venv-peers/bin/python -m pip install --quiet --no-deps -r benchmarks/peers.txt
	.venv-peers/bin/python -m pip install --quiet --no-deps --no-build-isolation -e .
	touch $@

clean:
	rm -rf .venv build dist *.egg-info demo-out
