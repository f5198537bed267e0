# Majung. `make demo` shows it, `make test` proves it; both work from a bare clone.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
FRONTEND := src/majung/webui/frontend
DIST := src/majung/webui/dist

.DEFAULT_GOAL := help
.PHONY: help env web demo test check bench gangnam lock proto docs clean

help: ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

env: $(VENV)/.ready ## the Python environment in .venv, from the lock file with hashes

$(VENV)/.ready: requirements/dev.lock.txt pyproject.toml
	@$(PYTHON) scripts/bootstrap.py $(VENV)
	@touch $@

web: $(DIST)/.built ## build the pages

$(DIST)/.built: $(VENV)/.ready $(shell find $(FRONTEND) -type f -not -path '*/node_modules/*' 2>/dev/null)
	@$(BIN)/python scripts/build_web.py
	@touch $@

demo: env web ## a city in Gangnam that orders and delivers, in one command
	@$(BIN)/majung demo

test: env web ## everything; REQUIRE_ALL=1 fails where something had to be left out
	@$(BIN)/python scripts/run_tests.py

check: env ## ruff, mypy strict, import direction
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest -q tests/unit/test_import_direction.py

bench: env ## speed, kept under bench/results
	$(BIN)/python -m bench

gangnam: env ## the hot spot, 10,000 orders a minute for 10 minutes, kept under bench/results
	@$(BIN)/python -m bench gangnam

proto: env ## generate the Python code of the gRPC contract
	$(BIN)/python scripts/build_proto.py

docs: env ## the API reference from OpenAPI and the proto
	$(BIN)/python scripts/build_docs.py

lock: ## resolve the dependencies anew (hashes, no addresses)
	$(BIN)/python scripts/lock.py

clean: ## remove what make made (not your data)
	rm -rf $(VENV) $(DIST) $(FRONTEND)/node_modules
