# Two commands set everything up on a fresh machine with Python 3.11 and make:
#   make demo    routes real tasks to a real local model through a real Temporal server
#   make test    passes the tests
PYTHON ?= python3.11
ifeq (, $(shell command -v $(PYTHON) 2>/dev/null))
PYTHON := python3
endif
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# One more than there are processors to count on: tests wait for servers and killed processes.
TEST_WORKERS ?= 3
# Tests make thousands of databases and pull nobody's plug: their files need no disk where memory
# holds them. A container's small /dev/shm is left alone.
TEST_FILES := $(shell [ -w /dev/shm ] && df --output=avail -k /dev/shm 2>/dev/null | \
	awk 'NR == 2 && $$1 > 4000000 {print "TMPDIR=/dev/shm"}')
PYTEST := $(TEST_FILES) $(BIN)/python -m pytest -q
CODE := src workflows activities workers tests bench tools

# The workflow sandbox reads the workflow's module anew for every task: without its compiled form
# it would be compiled anew as well.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo up test test-whole chromium check format replay record-histories coverage-of-requirements lock clean \
	bench-overhead bench-classify bench-privacy bench-decide bench-budget bench-peers bench-million bench-soak \
	bench-gateway bench-streams bench-faults bench-noisy bench-console bench-injections bench-names \
	bench-compare bench-gpu bench-bulk mutation mutation-ledger

help: ## list the commands
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  %-26s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $(READY)

setup: $(READY) ## install everything into .venv

demo: $(READY) ## route the real tasks of examples/tasks to a real local model
	$(BIN)/pointwork demo

up: $(READY) ## start Pointwork on this machine and keep it running
	$(BIN)/pointwork up

# On a build machine a missing browser fails the tests of the console; elsewhere they are skipped.
NEED_CHROMIUM := $(if $(CI),--need-chromium)

test: $(READY) chromium ## run the tests
	$(PYTEST) -n $(TEST_WORKERS) --dist loadgroup $(NEED_CHROMIUM)

test-whole: $(READY) chromium ## the tests with every number of cases that was promised; before a release
	$(PYTEST) -n $(TEST_WORKERS) --dist loadgroup --whole $(NEED_CHROMIUM)

chromium: ## install the browser of the console's tests, where it is missing and that can be done
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || { \
		command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ] && apt-get update -qq && \
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null; \
	} || echo "There is no chromium and it cannot be installed here: the console's tests need it."

check: $(READY) ## style, types, import rules, policy documents and their cases
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pointwork policy validate --all
	$(BIN)/python tools/validate_local_personal_route_bindings.py
	$(BIN)/python tools/validate_agent_execution_model_routing_policies.py
	$(BIN)/python tools/validate_agent_execution_budget_resource_optimizers.py
	$(BIN)/pointwork policy test

format: $(READY) ## put the code into its one form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

replay: $(READY) ## replay every recorded history on today's code
	$(PYTEST) tests/replay

record-histories: $(READY) ## record the histories that replay tests hold today's code to
	$(BIN)/python -m tests.replay.record

coverage-of-requirements: $(READY) ## which numbered requirements are proven, and by which test
	$(BIN)/python tools/requirements_coverage.py

bench-overhead: $(READY) ## latency and throughput against a bare workflow of three activities
	$(BIN)/python -m bench.overhead

bench-classify: $(READY) ## accuracy of the task classifier on prompts it never saw
	$(BIN)/python -m bench.classify

bench-privacy: $(READY) ## what redaction finds and costs, beside Presidio as it comes
	$(BIN)/python -m bench.privacy

bench-injections: $(READY) ## whether a text that calls itself harmless is ever treated as such
	$(BIN)/python -m bench.injections

bench-names: $(READY) ## how many names are replaced, in five scripts
	$(BIN)/python -m bench.names

bench-gpu: $(READY) ## the local lane beside a plain queue and the fewest swaps there can be; 20 minutes
	$(BIN)/python -m bench.gpu

bench-compare: $(READY) ## how often two real local models give answers that count as one
	$(BIN)/python -m bench.compare

bench-decide: $(READY) ## cost of one decision, and against a hand-written min()
	$(BIN)/python -m bench.decide

bench-bulk: $(READY) ## 10,000 items in one bulk run, its worker killed twice: does each end once
	$(BIN)/python -m bench.bulk_run

bench-budget: $(READY) ## hard budgets under 1, 8 and 64 clients, beside check-then-act; holds a second
	$(BIN)/python -m bench.budget

bench-peers: $(READY) ## the loads and the kill -9 that other gateways were measured with
	$(BIN)/python -m bench.peers

bench-gateway: $(READY) ## latency and requests/s over HTTP: direct, Pointwork, LiteLLM (fetched from PyPI)
	$(BIN)/python -m bench.gateway

bench-streams: $(READY) ## when the first token of a streamed answer comes, and what open streams weigh
	$(BIN)/python -m bench.streams

bench-faults: $(READY) ## what a caller gets, is told and is charged where the first model fails
	$(BIN)/python -m bench.faults

bench-noisy: $(READY) ## what a caller who floods the gateway does to one who sends a request at a time
	$(BIN)/python -m bench.noisy

bench-console: $(READY) ## how fast a page of the console is with 100,000 tasks, beside an empty ledger
	$(BIN)/python -m bench.console

bench-million: $(READY) ## holds and costs with a million finished tasks, beside an empty ledger
	$(BIN)/python -m bench.million

bench-soak: $(READY) ## an hour of faults on each database: do the counters still add up
	$(BIN)/python -m bench.soak

mutation: $(READY) ## how many small mistakes in the decision and money modules the tests notice
	$(BIN)/python -m tools.mutate policy
	$(BIN)/python -m tools.mutate ledger

mutation-ledger: $(READY) ## the money modules only
	$(BIN)/python -m tools.mutate ledger

lock: ## pin every dependency with hashes into requirements.lock
	$(PYTHON) -m venv build/lock
	build/lock/bin/python -m pip install --quiet pip==25.3 pip-tools==7.6.2
	build/lock/bin/pip-compile --quiet --generate-hashes --strip-extras --allow-unsafe \
		--no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-header --no-annotate \
		--extra client --extra service --extra gateway --extra embedded --extra gpu --extra vision --extra dev \
		--output-file requirements.lock pyproject.toml

clean: ## remove what was built; the state of `pointwork up` stays
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
