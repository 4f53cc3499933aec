PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.stamp
# all but `all`, which names the distribution itself: a lock cannot hold that
EXTRAS := aws dotenv github onepassword onepassword-sdk pulumi run sandbox vault
UNIT_EXTRAS := aws dotenv github onepassword vault
DEMO_EXTRAS := sandbox vault
# each gets a lock of its own that a release ships; all of them together are requirements/runtime.txt
RUNTIME_EXTRAS := aws dotenv github onepassword onepassword-sdk pulumi run vault
PYTHONS := 3.11 3.12 3.13
COMPILE = env -u PIP_FIND_LINKS $(BIN)/pip-compile --quiet --generate-hashes --strip-extras --allow-unsafe \
  --no-header --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-emit-options --annotation-style line
# Most tests wait for servers and other processes, so there are more workers than the two cores that this is made for.
WORKERS ?= 4
PYTEST := -m pytest -n $(WORKERS) --dist loadscope --no-loadscope-reorder
UNIT := -m pytest -n 2 --dist loadscope
PIP := -m pip --disable-pip-version-check install --quiet

.DEFAULT_GOAL := help
.PHONY: help demo unit unit-all test coverage engine fuzz simulate decisions bench prove nightly transcript transcript-kubernetes check generate sdks site lock lock-node image release

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: .venv-demo/.stamp ## the life of a key, against the sandbox and a real OpenBao (1 min with its install)
	.venv-demo/bin/keyturn demo

unit: $(STAMP) ## the tests without servers, sockets or processes (30 s)
	$(BIN)/python $(UNIT) tests/unit $(ARGS)

unit-all: unit $(PYTHONS:%=unit-%) ## the same with every Python from 3.11 to 3.13 on this machine (30 s each, after its install)

test: $(STAMP) ## every test (20 min); the Pulumi engine and a Kubernetes API server are built once (2 to 9 min each) if there is Go
	$(BIN)/python $(PYTEST) $(ARGS)

coverage: $(STAMP) ## the lines that tests/unit, tests/integration, tests/cli and tests/engine without the engine run (7 min)
	$(BIN)/coverage erase
	$(BIN)/coverage run $(PYTEST) -m "not engine" tests/unit tests/integration tests/cli tests/engine $(ARGS); \
	  code=$$?; $(BIN)/coverage combine --quiet && $(BIN)/coverage report && exit $$code

engine: $(STAMP) ## the Pulumi engine for the tests, as `make test` builds it
	$(BIN)/python -m tests.engine.build

prove: $(STAMP) ## the promise in figures: kills, consumers, faults, against a real OpenBao and a real Kubernetes API server
	$(BIN)/python -m tests.real $(ARGS)

nightly: $(STAMP) .venv-nightly/.lock .venv-nightly/n8n/.lock ## what is too heavy for every run: LiteLLM, n8n, and the Pulumi engine that knows awaited resources (20 min the first time)
	$(BIN)/python -m pytest -o faulthandler_timeout=600 tests/nightly/consumers.py tests/engine/awaiting.py $(ARGS)

fuzz: $(STAMP) ## the parsers of outside input with inputs made by chance, for SECONDS (600), from SEED (0) on
	$(BIN)/python -m tests.fuzz

simulate: $(STAMP) ## every cut and fault, in memory: SEED=… replays one, HISTORIES=… plays more
	$(BIN)/python -m tests.simulation

decisions: $(STAMP) ## the same, and note what the machine decides: later simulations compare with it
	DECISIONS=write $(BIN)/python -m tests.simulation

transcript: $(STAMP) ## stacks' lives on the real Pulumi engine: each command, its requests, a search for leaks
	$(BIN)/python -m tests.engine.transcript

transcript-kubernetes: $(STAMP) ## the operator as a user of kubectl sees it, on a real API server, and a search for leaks (3 min)
	$(BIN)/python -m tests.cluster.transcript

bench: $(STAMP) ## the speed, as ratios beside what it cannot do without; ARGS='rest many' measures these only (10 min)
	$(BIN)/python -m tests.bench $(ARGS)

check: $(STAMP) ## style, types, layers, generated files, documentation, functions that nothing calls (1 min)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tests.checks

generate: $(STAMP) ## the schemas, the CLI reference and the picture of the wings, from the code
	$(BIN)/python -m tests.generated

sdks: $(STAMP) ## the Pulumi SDKs for Python, TypeScript and Go, from the schema; needs Go
	$(BIN)/python -m tests.sdks

site: $(STAMP) ## the documentation as a site, in build/site; a warning is an error (20 s)
	$(BIN)/sphinx-build -q -W --keep-going -j auto -c docs -d build/doctrees . build/site
	@echo "build/site/index.html"

lock: $(STAMP) ## the locks again, from pyproject.toml and requirements/*.in
	$(COMPILE) $(EXTRAS:%=--extra %) --output-file requirements/dev.txt pyproject.toml requirements/dev.in
	$(COMPILE) $(UNIT_EXTRAS:%=--extra %) --constraint requirements/dev.txt \
	  --output-file requirements/unit.txt pyproject.toml requirements/unit.in
	$(COMPILE) --constraint requirements/dev.txt --output-file requirements/build.txt requirements/build.in
	$(COMPILE) $(DEMO_EXTRAS:%=--extra %) --constraint requirements/dev.txt \
	  --output-file requirements/demo.txt pyproject.toml requirements/demo.in
	$(COMPILE) --output-file requirements/nightly.txt requirements/nightly.in
	for extra in $(RUNTIME_EXTRAS); do \
	  $(COMPILE) --extra $$extra --constraint requirements/dev.txt \
	    --output-file requirements/runtime-$$extra.txt pyproject.toml || exit 1; \
	done
	$(COMPILE) $(RUNTIME_EXTRAS:%=--extra %) --constraint requirements/dev.txt \
	  --output-file requirements/runtime.txt pyproject.toml

lock-node: ## the lock of the TypeScript tests again; it names no place to download from
	cd tests/engine/nodejs && npm install --package-lock-only --omit-lockfile-registry-resolved --no-audit --no-fund

image: $(STAMP) ## the Dockerfile built by buildah and run as its user with a read-only root, as root on Debian; BASE=… names a base (6 min)
	$(BIN)/python -m tests.image

release: $(STAMP) ## dist/: wheel, sdist, chart, locks, archives of the Pulumi plugin, bill of materials and SHA256SUMS of the last commit, built twice and compared
	$(BIN)/python -m tests.release

.venv: $(STAMP)

# $(call environment,FOLDER,PYTHON,LOCK): hashes guard every download.
define environment
$(2) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11")'
$(2) -m venv --clear $(1)
$(1)/bin/python $(PIP) --require-hashes -r $(3)
endef
# $(call itself,FOLDER): this repository only, with the build backend that the lock pins.
itself = $(1)/bin/python $(PIP) --no-deps --no-build-isolation --editable .

.venv/.lock: requirements/dev.txt
	$(call environment,.venv,$(PYTHON),$<)
	touch $@

$(STAMP): .venv/.lock pyproject.toml
	$(call itself,.venv)
	touch $@

.venv-demo/.stamp: requirements/demo.txt pyproject.toml
	$(call environment,.venv-demo,$(PYTHON),$<)
	$(call itself,.venv-demo)
	touch $@

.venv-nightly/.lock: requirements/nightly.txt
	$(call environment,.venv-nightly,$(PYTHON),$<)
	touch $@

.venv-nightly/n8n/.lock: tests/nightly/n8n/package-lock.json .venv-nightly/.lock
	mkdir -p $(@D)
	cp tests/nightly/n8n/package*.json $(@D)
	cd $(@D) && npm ci --ignore-scripts --legacy-peer-deps --no-audit --no-fund
	touch $@

.venv-3.%/.stamp: requirements/unit.txt pyproject.toml
	$(call environment,.venv-3.$*,$(INTERPRETER),$<)
	$(call itself,.venv-3.$*)
	touch $@

# Each interpreter is looked for on PATH, then among those of pyenv; that of .venv has had its turn by `make unit`.
unit-3.%: $(STAMP)
	@[ "$$($(BIN)/python -c 'import sys; print(sys.version_info.minor)')" != $* ] || exit 0; \
	for python in python3.$* "$${PYENV_ROOT:-$$HOME/.pyenv}"/versions/3.$*.*/bin/python; do \
	  "$$python" -c '' 2>/dev/null || continue; \
	  $(MAKE) --no-print-directory .venv-3.$*/.stamp INTERPRETER="$$python" && \
	  exec .venv-3.$*/bin/python $(UNIT) tests/unit $(ARGS); \
	  exit 1; \
	done; \
	echo "Python 3.$* is not on this machine: make unit was not run with it."
