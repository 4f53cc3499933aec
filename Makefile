PYTHON ?= python3
BIN := .venv/bin
LOCK := requirements/dev.txt
STAMP := .venv/.stamp
# all but `all`, which names the distribution itself: a lock cannot hold that
EXTRAS := aws dotenv metrics onepassword pulumi sandbox vault
PIP := $(BIN)/python -m pip --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help demo test engine simulate decisions bench prove transcript check generate lock

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: $(STAMP) ## the whole life of a key in one minute, against the sandbox and a real OpenBao
	$(BIN)/keyturn demo

test: $(STAMP) ## every test; those on the Pulumi engine build it once, where there is Go and no `pulumi`
	$(BIN)/pytest -n 2 --dist loadscope $(ARGS)

engine: $(STAMP) ## the Pulumi engine for the tests, as `make test` builds it
	$(BIN)/python -m tests.engine.build

prove: $(STAMP) ## the promise in figures: kills, consumers, faults, against a real OpenBao
	$(BIN)/python -m tests.real $(ARGS)

simulate: $(STAMP) ## every cut and fault, in memory: SEED=… replays one, HISTORIES=… plays more
	$(BIN)/python -m tests.simulation

decisions: $(STAMP) ## the same, and take what the machine decides as what it has to decide from now on
	DECISIONS=write $(BIN)/python -m tests.simulation

transcript: $(STAMP) ## a stack's life on the real Pulumi engine: each command, its requests, a search for leaks
	$(BIN)/python -m tests.engine.transcript

bench: $(STAMP) ## how long the front door takes, as ratios
	$(BIN)/python -m tests.bench
	$(BIN)/python -m tests.engine.bench

check: $(STAMP) ## style, types, layers, generated files, documentation
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tests.checks

generate: $(STAMP) ## the schemas, the CLI reference and the picture of the wings, from the code
	$(BIN)/python -m tests.generated

lock: $(STAMP) ## the lock again, from pyproject.toml and requirements/dev.in
	env -u PIP_FIND_LINKS $(BIN)/pip-compile --quiet --generate-hashes --strip-extras --allow-unsafe \
	  $(EXTRAS:%=--extra %) \
	  --no-header --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-emit-options \
	  --annotation-style line --output-file $(LOCK) pyproject.toml requirements/dev.in

.venv: $(STAMP)

# Hashes guard every download.
.venv/.lock: $(LOCK)
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11")'
	$(PYTHON) -m venv --clear .venv
	$(PIP) install --quiet --require-hashes -r $(LOCK)
	touch $@

# Only this repository itself, with the build backend that the lock pins.
$(STAMP): .venv/.lock pyproject.toml
	$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	touch $@
