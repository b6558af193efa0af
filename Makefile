# Everything sets itself up: a machine with Python 3.11+ and git needs nothing else.
SHELL := /bin/bash
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= $(shell for p in python3.14 python3.13 python3.12 python3.11 python3 python; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 \
	&& { echo $$p; break; }; done)
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
PATHS := src tests scripts benchmarks
# Tests in processes of their own, twice as many as cores: they wait more than they work.
APART = -n $(JOBS) --dist loadgroup --no-loadscope-reorder
JOBS ?= $(shell $(BIN)/python -c 'import os; print(2 * (os.cpu_count() or 1))')

$(VENV)/made:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer (with venv) is needed; none was found." >&2; exit 1; }
	@echo "making $(VENV) with $(PYTHON)" >&2
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/run: requirements/run.txt $(VENV)/made
	@echo "installing what the gateway needs" >&2
	@$(PIP) install --require-hashes -r requirements/run.txt
	@echo "$(CURDIR)/src" > "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/ai_gateway.pth"
	@printf '#!/bin/sh\nexec "%s" -m ai_gateway "$$@"\n' "$(CURDIR)/$(BIN)/python" > $(BIN)/ai-gateway
	@chmod +x $(BIN)/ai-gateway
	@touch $@

$(VENV)/dev: requirements/dev.txt $(VENV)/run
	@echo "installing what tests and checks need" >&2
	@$(PIP) install --require-hashes -r requirements/dev.txt
	@touch $@

.PHONY: help
help: ## Say what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

.PHONY: run
run: $(VENV)/run ## Serve the gateway on PORT (8080)
	@exec $(BIN)/ai-gateway serve

.PHONY: simulate
simulate: $(VENV)/run ## Serve a simulated provider on port 8090
	@exec $(BIN)/ai-gateway simulate

.PHONY: check
check: $(VENV)/run ## Check the settings and say what they amount to
	@$(BIN)/ai-gateway check

.PHONY: test
test: $(VENV)/dev ## Run the tests (all but the slow ones)
	$(BIN)/python -m pytest -m "not slow and not timing" $(APART)
	$(BIN)/python -m pytest -m "not slow and timing"

.PHONY: test-unit
test-unit: $(VENV)/dev ## Run the unit tests
	$(BIN)/python -m pytest tests/unit -m "not slow" $(APART)

.PHONY: test-integration
test-integration: $(VENV)/dev ## Run the tests of the whole gateway
	$(BIN)/python -m pytest tests/integration tests/clients tests/replay -m "not slow" $(APART)

.PHONY: test-coverage
test-coverage: $(VENV)/dev ## Run the tests and show what they do not reach
	$(BIN)/python -m pytest -m "not slow" $(APART) --cov --cov-report=term

.venv-clients/made: requirements/clients.txt $(VENV)/made
	@echo "making .venv-clients with the clients that are tested" >&2
	@rm -rf .venv-clients && $(BIN)/python -m venv .venv-clients
	@.venv-clients/bin/python -m pip --disable-pip-version-check --quiet install --require-hashes -r requirements/clients.txt
	@touch $@

.PHONY: test-clients
test-clients: $(VENV)/dev .venv-clients/made ## Run the frameworks people build with against the gateway
	$(BIN)/python -m pytest tests/clients/test_frameworks.py -m slow

.PHONY: test-node
test-node: $(VENV)/dev ## Run the official Node SDKs against the gateway (needs Node and npm)
	$(BIN)/python -m pytest tests/clients/test_node.py -m slow

.PHONY: lint
lint: $(VENV)/dev ## Check style, types and layers
	$(BIN)/ruff check $(PATHS)
	$(BIN)/ruff format --check $(PATHS)
	$(BIN)/pyright
	$(BIN)/lint-imports --no-cache

.PHONY: format
format: $(VENV)/dev ## Put the code into its one form
	$(BIN)/ruff check --fix $(PATHS)
	$(BIN)/ruff format $(PATHS)

.PHONY: documents
documents: $(VENV)/dev ## Write the documents that derive from the code
	$(BIN)/python scripts/generate_documents.py

.PHONY: manifests
manifests: $(VENV)/dev ## Write what derives in k8s/ and the chart (renders where kustomize and helm are)
	$(BIN)/python scripts/generate_manifests.py

.PHONY: prices
prices: $(VENV)/dev ## Write the price data anew from genai-prices
	$(BIN)/python scripts/generate_prices.py

.PHONY: faults
faults: $(VENV)/dev ## Run every fault and abuse of docs/reliability.md and write its table (LONG=1: at full length)
	$(BIN)/python -m tests.faults.campaign $(if $(LONG),--long)

.PHONY: bench
bench: $(VENV)/dev ## Measure the gateway beside its limit (see benchmarks/)
	$(BIN)/python -m benchmarks

.PHONY: performance
performance: $(VENV)/dev ## Measure everything and write docs/performance.md (PEERS=1: beside other gateways)
	$(BIN)/python -m benchmarks.report $(if $(PEERS),--peers)

.PHONY: benchmark
benchmark: $(VENV)/dev ## Load the gateway as benchmarks/load_test.json says (URL=, KEY= for one that runs)
	$(BIN)/python -m benchmarks.load_test $(if $(URL),--url $(URL)) $(if $(KEY),--key $(KEY))

.PHONY: scaling
scaling: $(VENV)/dev ## Simulate the shipped autoscaler over a day and draw it
	$(BIN)/python -m benchmarks.scaling --plot docs/images/scaling.svg

.PHONY: audit
audit: $(VENV)/dev ## Look for known holes in what is installed
	$(BIN)/pip-audit --strict --require-hashes --disable-pip -r requirements/run.txt

.PHONY: dist
dist: $(VENV)/dev ## Build wheel and sdist, twice and equal, with a bill of materials and hashes
	bash scripts/build_release.sh

.PHONY: lock
lock: $(VENV)/dev ## Lock the dependencies anew, with hashes and without hosts
	for name in run build dev clients; do $(BIN)/uv pip compile --quiet --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-header --no-strip-extras --upgrade \
		requirements/$$name.in -o requirements/$$name.txt; done

.PHONY: clean
clean: ## Remove what was made
	rm -rf $(VENV) .venv-clients .pytest_cache .ruff_cache .hypothesis .coverage htmlcov dist build
