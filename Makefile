.DEFAULT_GOAL := help
.PHONY: help setup demo up test etcd lint bench chaos soak model protos lock bare

# Every program of the project's own environment; setup makes it.
BIN := .venv/bin
# The suite that `make bench` runs: a module of tests/bench.
SUITE ?= browser
# So many test processes; tests/conftest.py says what stays in one.
JOBS ?= 2

help: ## Say what there is to do
	@echo 'Tenure: safe, fast custody of real browser profiles. Start with `make demo`.'
	@echo
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1	\2/p' Makefile | expand -t 16
	@echo
	@echo 'No step comes before any of these: what a machine lacks is installed first, once.'

setup: ## Install what this machine lacks: Debian packages, .venv, pinned dependencies
	@scripts/setup

demo: setup ## Run the main job on a demo site: sign in, reuse, wait, fence, restart
	@$(BIN)/tenure demo

up: setup ## Run the whole system on embedded etcd until Ctrl-C
	@$(BIN)/tenure up

test: setup ## Run the tests; ARGS='-k name' narrows them, JOBS=0 runs them one by one
	@$(BIN)/python -m pytest -n $(JOBS) --second-chance $(ARGS)

etcd: setup ## Build etcd 3.5 and 3.6 with Go, for the tests to run on them too
	@$(BIN)/python -m tests.fixtures.etcd_builds 3.5 3.6

lint: setup ## Check style, types, import directions, protos and generated code
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/buf lint
	$(BIN)/buf format --diff --exit-code
	scripts/breaking
	scripts/protos --check

bench: setup ## Measure; SUITE=browser, recovery or lock writes build/bench/$(SUITE).json
	@$(BIN)/python -m tests.bench.$(SUITE) $(ARGS)

chaos: setup ## Prove the lock service under faults, about 20 min; ARGS='--help' says how
	@$(BIN)/python -m tests.chaos $(ARGS)

soak: setup ## Open and close 300 sessions under kills, about 8 min; ARGS='--help' says how
	@$(BIN)/python -m tests.soak $(ARGS)

model: setup ## Explore the protocol within larger bounds; ARGS='--without RULE' tells what the rule forbids
	@$(BIN)/python -m tests.model $(if $(ARGS),$(ARGS),--large)

protos: setup ## Generate the Python code of protos/
	@scripts/protos

lock: setup ## Re-make requirements.lock from pyproject.toml; ARGS=--upgrade takes newer versions
	@$(BIN)/uv --no-config pip compile pyproject.toml --extra dev --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock' \
		--quiet --output-file requirements.lock $(ARGS)

bare: ## Run the demo inside a bare Debian root; FULL=1 runs the tests there too
	@scripts/bare
