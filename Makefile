# Tandem's tasks. `make` alone lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
.DEFAULT_GOAL := help
.PHONY: help setup sandbox demo test test-editors test-vscode test-vllm test-ray test-ray-vllm lint lint-lua types check train-bundle vscode lock
.PHONY: clean vllm-environment
# Samples of the dataset builder: train/, validation/ and cases.jsonl.
SAMPLES ?= build/samples
BUNDLE ?= build/train-bundle
# Folders of `python -m finetune.chat`, replayed so that chat is not forgotten.
REPLAY ?=
STYLUA := build/stylua/node_modules/@johnnymorganz/stylua
STYLUA_PACKAGE := @johnnymorganz/stylua@2.5.2
# Processes that test side by side, each file in one of them.
WORKERS ?= 2
# Where `make test-vllm` keeps vLLM.
VLLM ?= $(HOME)/.cache/tandem-test/vllm
# And `make test-ray` Ray.
RAY ?= $(HOME)/.cache/tandem-test/ray
RAY_VLLM ?= $(HOME)/.cache/tandem-test/ray-vllm
RAY_VLLM_TESTS := tests/test_ray_vllm.py
EDITOR_TESTS ?= $(wildcard tests/test_neovim_*.py tests/test_vscode_*.py)

help: ## List the tasks
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(STAMP) ## Make .venv with pinned dependencies

$(STAMP): pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo 'Tandem needs Python 3.11 or newer. Try: make PYTHON=python3.12 setup' >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint requirements.lock pip
	$(BIN)/python -m pip install --disable-pip-version-check --progress-bar on --quiet --constraint requirements.lock --editable '.[dev]'
	@touch $@

sandbox: setup ## Bring up Docker, where that can be done, and the base image
	@$(BIN)/tandem sandbox setup

demo: setup ## Ghost text in a real file of this repository; then a bug fixed, where Docker runs
	@$(BIN)/tandem demo
	@$(BIN)/python -m tandem.fix_demo

test: setup ## The test suite without editors' and vLLM's, in $(WORKERS) processes
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile -m 'not editors and not vllm and not ray'

test-editors: setup ## Tests in a real VS Code and a real Neovim; pictures in build/editors
	$(BIN)/python -m pytest --reruns 1 $(EDITOR_TESTS) # once more what fails: a browser has its days

test-vscode: ## Those in VS Code alone
	@$(MAKE) test-editors EDITOR_TESTS="$(wildcard tests/test_vscode_*.py)"

vllm-environment:
	PYTHON=$(PYTHON) tests/vllm_environment.sh $(VLLM)

test-vllm: setup vllm-environment ## Tests against a real vLLM on the CPU, in an environment of its own (once, 3.4 GB)
	TANDEM_TEST_VLLM=$(VLLM) $(BIN)/python -m pytest -m vllm $(wildcard tests/test_vllm_*.py)

test-ray: setup ## Tests with replicas behind a real Ray Serve, in an environment of its own (once)
	tests/ray_environment.sh $(RAY) $(VENV)
	TANDEM_TEST_RAY=$(RAY) $(BIN)/python -m pytest -m ray $(filter-out $(RAY_VLLM_TESTS),$(wildcard tests/test_ray_*.py))

test-ray-vllm: setup vllm-environment ## Tests with vLLM replicas behind Ray Serve LLM
	tests/ray_vllm_environment.sh $(RAY_VLLM) $(VLLM)
	TANDEM_TEST_RAY_VLLM=$(RAY_VLLM) $(BIN)/python -m pytest -m ray $(RAY_VLLM_TESTS)

lint: setup lint-lua ## ruff: rules and format; the Neovim plugin by lint-lua
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

lint-lua: ## luacheck (Debian: lua-check) and stylua (npm)
	@if command -v luacheck >/dev/null; then cd editors/neovim && luacheck --quiet --no-color .; \
	  elif [ -n "$$CI" ]; then echo 'lint: no luacheck on this machine' >&2; exit 1; \
	  else echo 'lint: the Lua is not checked: apt-get install lua-check' >&2; fi
	@if ! command -v npm >/dev/null; then echo 'lint: no npm for stylua on this machine' >&2; \
	  else test -d $(STYLUA) || npm install --silent --no-save --prefix build/stylua $(STYLUA_PACKAGE); \
	    node editors/neovim/tests/format.mjs $(STYLUA); fi

types: setup ## pyright
	$(BIN)/pyright

check: lint types test ## What CI runs

train-bundle: setup ## Parts to train the shipped model from on a bare GPU machine
	$(BIN)/python -m finetune.bundle build --samples $(SAMPLES) $(REPLAY:%=--replay %) --to $(BUNDLE)

vscode: editors/vscode/node_modules/.package-lock.json ## The VS Code extension, as build/tandem.vsix
	cd editors/vscode && npm run --silent package

editors/vscode/node_modules/.package-lock.json: editors/vscode/package-lock.json
	cd editors/vscode && npm ci --no-audit --no-fund
	@touch $@

lock: ## Pin today's versions of everything into requirements.lock
	rm -rf build/lock && $(PYTHON) -m venv build/lock
	build/lock/bin/python -m pip install --quiet --upgrade pip
	build/lock/bin/python -m pip install --quiet --editable '.[dev]'
	build/lock/bin/python -m pip freeze --all --exclude-editable | sed -E 's/\+cpu//; /^tandem/d' > requirements.lock
	rm -rf build/lock

clean: ## Remove what make made here
	rm -rf $(VENV) build dist editors/vscode/dist editors/vscode/build editors/vscode/node_modules .pytest_cache .ruff_cache .hypothesis
