# Everything a contributor types. `make` alone lists it.
VENV ?= .venv
BIN := $(VENV)/bin
PYTHON ?= python3
SERVICES := gateway billing provisioner notifier
PROJECTS := $(wildcard libs/* services/*)
READY := $(VENV)/.stamp
CODE := libs services tests benchmarks
T ?= tests

.DEFAULT_GOAL := help
.PHONY: help demo run test test-fast models chaos year kills check abuse scale bench format docs lock service-locks clean

##@ See it
demo: $(READY) ## two customers buy, a third subscribes and months go by; prints the journeys and ends (KEEP=1: stays up)
	$(BIN)/python -m sandbox.demo $(if $(KEEP),--keep)

run: $(READY) ## the whole system on this machine, to click through; stays up (settings from .env)
	$(BIN)/python -m sandbox.system

##@ Check it
test: $(READY) ## every test, on real servers (T=path for some of them)
	$(BIN)/pytest -n 3 --dist loadgroup $(T)

test-fast: $(READY) ## the tests that need no server
	$(BIN)/pytest -n 2 tests/unit

models: $(READY) ## the model-based tests with many new runs (EXAMPLES=500)
	MODEL_EXAMPLES=$(or $(EXAMPLES),500) $(BIN)/pytest -n 2 tests/models

chaos: $(READY) ## customers buy while everything is killed, stopped and cut off; counts what came of it (JOURNEYS=n FAULTS=n SEED=n)
	PYTHONPATH=tests $(BIN)/python -m chaos --journeys $(or $(JOURNEYS),20) --faults $(or $(FAULTS),12) $(if $(SEED),--seed $(SEED))

year: $(READY) ## a year of customers' lives in billing, day by day, with the provider in memory; prints the ledger (CUSTOMERS=1000)
	PYTHONPATH=tests $(BIN)/python -m year --customers $(or $(CUSTOMERS),1000)

kills: $(READY) ## every commit point of every flow, killed at; writes docs/commit-points.md (FLOW=name for one of them)
	KILLS=all $(BIN)/pytest -n 0 tests/e2e/test_kills.py $(if $(FLOW),-k "[$(FLOW)]")

check: $(READY) ## format, lint, types, direction of imports, migrations, generated files
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check $(CODE)
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m sandbox.migrations
	$(BIN)/python -m sandbox.selling
	$(BIN)/python -m sandbox.docs --check

abuse: $(READY) ## what strangers may send, much more of it than in the tests (EXAMPLES=100 of each, SEED=1)
	EXAMPLES=$(or $(EXAMPLES),100) SEED=$(or $(SEED),1) $(BIN)/pytest -n 2 --dist loadgroup --timeout 0 tests/integration/security \
	  tests/unit/security tests/unit/gateway/test_webhook_requests.py

scale: $(READY) ## what each service reads with a long history, at a million rows of everything (ROWS=1000000)
	SCALE_ROWS=$(or $(ROWS),1000000) $(BIN)/pytest -n 0 tests/scale

bench: $(READY) ## measure ours, the limit and the peer in one run, as ratios (B="name --keep" for some of them)
	$(BIN)/python -m benchmarks $(B)

##@ Change it
format: $(READY) ## format and mend what the linter can
	$(BIN)/ruff format $(CODE)
	$(BIN)/ruff check --fix $(CODE)

docs: $(READY) ## write the generated pages and files again
	$(BIN)/python -m sandbox.docs

lock: ## resolve the dependencies again (needs uv)
	uv pip compile -q --universal --generate-hashes --python-version 3.11 --exclude-newer "7 days" --extra local \
	  --custom-compile-command "make lock" $(foreach p,keyturn $(SERVICES:%=keyturn-%),--no-emit-package $(p)) \
	  libs/*/pyproject.toml services/*/pyproject.toml --group pyproject.toml:dev -o requirements.lock

service-locks: $(SERVICES:%=services/%/requirements.lock) libs/sandbox/requirements.lock deploy/docker/build.lock ## what each image installs (needs uv)

clean: ## remove the environment and the sandbox's data
	rm -rf $(VENV) .sandbox .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

help:
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

IMAGE_LOCK = uv pip compile -q --universal --generate-hashes --python-version 3.11 \
  --custom-compile-command "make service-locks" --no-emit-package keyturn -c requirements.lock -o $@

%/requirements.lock: requirements.lock %/pyproject.toml libs/common/pyproject.toml
	$(IMAGE_LOCK) $*/pyproject.toml

deploy/docker/build.lock: requirements.lock
	echo hatchling | $(IMAGE_LOCK) -

# Debian's python3 comes without venv: as root it is installed, otherwise the message says what is missing.
$(READY): requirements.lock $(wildcard libs/*/pyproject.toml services/*/pyproject.toml)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Keyturn needs Python 3.11 or newer")'
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
	  && apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends python3-venv >/dev/null; } \
	  || { echo "Python's venv module is missing: on Debian, apt-get install python3-venv"; exit 1; }
	test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q --disable-pip-version-check --only-binary :all: --require-hashes -r requirements.lock
	$(BIN)/pip install -q --disable-pip-version-check --no-deps --no-build-isolation --no-index $(foreach d,$(PROJECTS),-e $d)
	@touch $@
