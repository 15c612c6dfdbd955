# Two commands on a fresh machine: `make demo` and `make test`. Everything is installed into .venv; nothing outside this folder changes.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help demo test check coverage bench lab docker-test clean

help: ## what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/.ready: pyproject.toml setup.py
	@echo "setting up $(VENV) (takes half a minute the first time)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "KWIC needs Python 3.11 or newer; say which: make PYTHON=python3.12 …"; exit 1; }
	@$(PYTHON) -m venv $(VENV)
	@# setuptools packs whatever lies in build/, also what an earlier version left there: nothing is to be there, before and after.
	@rm -rf build *.egg-info
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check '.[test]'
	@rm -rf build *.egg-info
	@$(BIN)/python -m pip uninstall --quiet --yes --disable-pip-version-check kwic
	@touch $@

demo: $(VENV)/.ready ## run the high-availability scenario on this machine and walk through it (DEMO=--keep leaves it running)
	@PYTHONPATH=. $(BIN)/python -m kwic.cli.main demo $(DEMO)

test: check coverage ## the checks and all tests

check: $(VENV)/.ready ## lint, formatting and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

coverage: $(VENV)/.ready ## all tests, with branch coverage of the sans-IO floor at 100 %
	$(BIN)/coverage erase
	PYTHONPATH=. $(BIN)/python -m test
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --include='kwic/config/*,kwic/wire/*,kwic/policy/*,kwic/errors.py' --fail-under=100

lab: $(VENV)/.ready ## the fault laboratory (root; LAB="--fault kill --scenario ha" for a part of it)
	@PYTHONPATH=. $(BIN)/python -m test.lab $(LAB)

docker-test: $(VENV)/.ready ## build the image and walk through the scenario in containers (needs Docker; BASE_IMAGE chooses the Python image)
	@PYTHONPATH=. $(BIN)/python docker/walk.py

bench: $(VENV)/.ready ## measure the pair of gateways beside a direct connection (python -m bench --help: beside ssh, nginx, …)
	@PYTHONPATH=. $(BIN)/python -m bench

clean: ## remove what was made
	rm -rf $(VENV) build dist *.egg-info .coverage* _trial_temp* .mypy_cache .ruff_cache .hypothesis
