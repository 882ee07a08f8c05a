# Two commands do all the set-up: `make up` and `make test`. Each installs what it needs, once.

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
NODE_PROJECTS := $(patsubst %/package-lock.json,%,$(wildcard tests/contract/*/package-lock.json))
NAME ?=
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help install install-node up test test-engines lint format bench docs clean lock

help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort | awk -F'\t' '{printf "  \033[36mmake %-13s\033[0m %s\n", $$1, $$2}'

$(VENV)/.installed: requirements.lock bootstrap.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "Pilothouse needs Python 3.11: install it, or say make PYTHON=/path/to/python3.11"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r bootstrap.lock
	@$(BIN)/uv pip sync --quiet --compile-bytecode --python $(BIN)/python --require-hashes requirements.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

install: $(VENV)/.installed ## create .venv with the locked packages

tests/contract/%/node_modules/.installed: tests/contract/%/package-lock.json
	@cd $(dir $<) && npm ci --no-audit --no-fund --loglevel=error && touch node_modules/.installed

install-node: $(NODE_PROJECTS:%=%/node_modules/.installed) # the third-party servers and clients that contract tests run

up: install ## start everything, sync all sources, keep running (ARGS="--once" to end after the first sync)
	@$(BIN)/pilothouse up $(ARGS)

.venv-engines/.installed: engines.lock $(VENV)/.installed # Spark, and dbt for Snowflake and Databricks, which tests of other engines need
	@test -x .venv-engines/bin/python || $(PYTHON) -m venv .venv-engines
	@$(BIN)/uv pip sync --quiet --python .venv-engines/bin/python --require-hashes engines.lock
	@$(BIN)/uv pip install --quiet --python .venv-engines/bin/python --no-deps --no-build-isolation --editable .
	@touch $@

test: install install-node ## run every test of the embedded defaults, and of servers that we did not write
	@LINES_COVERED=90 $(BIN)/python -m slipcover --json --out .coverage.json -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

test-engines: .venv-engines/.installed ## run the tests of the other engines of tables: Spark, Snowflake, Databricks
	@.venv-engines/bin/python -m pytest -p no:cacheprovider tests/engines $(ARGS)

lint: install ## formatting, lint, types, layers
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

format: install ## format and mend what can be mended
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

.venv-peers/.installed: bench/peers.lock $(VENV)/.installed
	@test -x .venv-peers/bin/python || $(PYTHON) -m venv .venv-peers
	@$(BIN)/uv pip sync --quiet --compile-bytecode --python .venv-peers/bin/python --require-hashes bench/peers.lock
	@touch $@

bench: install .venv-peers/.installed ## measure against peers; NAME=x runs one
	@$(BIN)/python -m bench $(NAME)

docs: install ## write the reference pages that are derived from code
	@$(BIN)/python -m docs.generate

lock: install ## resolve the locks anew from pyproject.toml
	@$(BIN)/uv pip compile --quiet --no-strip-extras --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --group dev pyproject.toml -o requirements.lock
	@$(BIN)/uv pip compile --quiet --no-strip-extras --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --python-version 3.11 bench/peers.in -o bench/peers.lock
	@cp requirements.lock engines.lock # what both have shall be the same
	@$(BIN)/uv pip compile --quiet --no-strip-extras --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --python-version 3.11 --extra spark --extra snowflake --extra databricks --group engines pyproject.toml -o engines.lock

clean: ## remove what was installed and what was run
	@rm -rf $(VENV) .venv-peers .venv-engines .pilothouse .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis htmlcov .coverage* tests/contract/*/node_modules
