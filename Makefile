# `make run` and `make test` need nothing but Python 3.11 or later, make and a package index.

PYTHON ?=
BIN := .venv/bin
INSTALLED := .venv/.installed-$(shell cat requirements.lock pyproject.toml | cksum | tr ' ' '-')
PYTEST_WORKERS ?= 3
COMPILE := $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-emit-find-links \
	--no-header --no-annotate --python-version 3.11

.DEFAULT_GOAL := help
.PHONY: help run test check lint format lock bench clean install

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: $(INSTALLED) ## Start everything on this machine, onboard a lead, and stay up until Ctrl-C
	@$(BIN)/stepwell dev

test: lint ## Check format, lint, types and imports, then run all tests
	@$(BIN)/python -m pytest -n $(PYTEST_WORKERS) --dist loadfile

check: test ## The same: the one gate, here and in CI

lint: $(INSTALLED) ## Check format, lint, types and imports only
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports > .venv/imports.log || { cat .venv/imports.log; exit 1; }

format: $(INSTALLED) ## Format the code and mend what can be mended
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

lock: $(INSTALLED) ## Lock the newest versions that fit pyproject.toml
	@$(COMPILE) --upgrade --extra dev -o requirements.lock pyproject.toml
	@$(COMPILE) --constraint requirements.lock -o requirements-runtime.lock pyproject.toml

bench: $(INSTALLED) ## Measure against the same process written by hand
	@$(BIN)/python -m benchmarks

clean: ## Remove the environment and caches; the data in .stepwell/ stays
	@rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis *.egg-info

install: $(INSTALLED) ## Install the environment only

# The environment is whole when the stamp of these very locks exists, and in its place when .venv/.place names this
# folder. An interrupted installation has neither, and is made anew.
$(INSTALLED):
	@sh install.sh "$(PYTHON)"
	@touch $@
