# Everything a contributor types. `make` alone lists it.
VENV ?= .venv
BIN := $(VENV)/bin
PROJECTS := $(wildcard libs/* services/*)

.DEFAULT_GOAL := help

lock:
	uv pip compile -q --universal --generate-hashes --python-version 3.11 --exclude-newer "7 days" --custom-compile-command "make lock" \
	  --no-emit-package keyturn --no-emit-package keyturn-gateway --no-emit-package keyturn-billing --no-emit-package keyturn-provisioner --no-emit-package keyturn-notifier \
	  libs/*/pyproject.toml services/*/pyproject.toml --group pyproject.toml:dev -o requirements.lock

$(VENV)/.stamp: requirements.lock $(wildcard libs/*/pyproject.toml services/*/pyproject.toml)
	test -x $(BIN)/python || python3 -m venv $(VENV)
	$(BIN)/pip install -q --only-binary :all: --require-hashes -r requirements.lock
	$(BIN)/pip install -q --no-deps --no-build-isolation --no-index $(foreach d,$(PROJECTS),-e $d) && touch $@
