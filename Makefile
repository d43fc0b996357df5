# QuantaWeb. `make` alone prints what there is.
PYTHON ?= python3
PORT ?= 8000
QW_DATA_DIR ?= ./var
TORCH_INDEX ?=
export QW_DATA_DIR

VENV := .venv
BIN := $(VENV)/bin
UNIT := tests/compute tests/clusters
BROWSER := tests/e2e
APART := tests/faults# away from browsers, which notice when networks come and go
CONTAINERS := tests/compose# make test-compose
TOGETHER := $(filter-out $(BROWSER) $(APART) $(CONTAINERS) tests/data tests/__pycache__,$(patsubst %/,%,$(wildcard tests/*/)))
PIP := $(BIN)/python -m pip --disable-pip-version-check

.DEFAULT_GOAL := help
.NOTPARALLEL: # demo computes before it serves
.PHONY: help demo demo-data serve setup test lint format unit e2e faults test-compose audit bench bench-web bench-load screenshots train pins clean

help: ## Print this help
	@awk 'BEGIN {FS = ":.*## "; print "QuantaWeb: make TARGET [PORT=8000] [QW_DATA_DIR=./var] [TORCH_INDEX=url]\n"} \
	  /^[a-z0-9-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: demo-data serve ## Install, compute the demo run, and serve it

demo-data: $(VENV)/.compute ## Install and compute the demo run; resumes where it was stopped
	@$(BIN)/python manage.py demo

serve: $(VENV)/.compute ## Serve what is there at http://127.0.0.1:PORT, with the job runner
	@$(BIN)/python manage.py up --port $(PORT)

setup: $(VENV)/.dev ## Install everything, for developing

test: $(VENV)/.dev lint ## Lint, then unit, integration and browser tests
	$(BIN)/python -m pytest --numprocesses 2 $(TOGETHER)
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile $(BROWSER)
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile $(APART)

lint: $(VENV)/.dev ## Check style, types, templates and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/djlint templates --lint --quiet
	$(BIN)/python manage.py makemigrations --check --dry-run

format: $(VENV)/.dev ## Rewrite sources in the project's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

unit: $(VENV)/.dev ## Only what needs no browser, database server or broker
	$(BIN)/python -m pytest --numprocesses 2 $(UNIT)

e2e: $(VENV)/.dev ## Only the tests in a real browser
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile $(BROWSER)

faults: $(VENV)/.dev ## Break everything that may break, the whole set, and write the table of docs/reliability.md (an hour)
	rm -f .cache/fault-figures.jsonl && mkdir -p .cache
	QW_FAULT_FIGURES=$(CURDIR)/.cache/fault-figures.jsonl $(BIN)/python -m pytest --whole --timeout 1800 --numprocesses 2 --dist loadfile \
	  $(APART) tests/store tests/fuzz tests/migrations tests/e2e/test_hostile_text.py; status=$$?; \
	$(BIN)/python -m tests.faults.table .cache/fault-figures.jsonl && exit $$status

test-compose: $(VENV)/.dev ## Build the images, bring the whole site up in containers of its own, and walk through it (podman or Docker)
	$(BIN)/python -m pytest tests/compose --capture=no -x

audit: $(VENV)/.dev ## Look for known holes in what is installed; where no index can be reached, check pins and licences
	$(BIN)/python deploy/audit.py

bench: $(VENV)/.dev ## Measure what the speed claims rest on
	$(BIN)/python -m benchmarks

bench-web: $(VENV)/.dev ## Measure every page at the paper's size, on both databases (20 GB, an hour)
	$(BIN)/python -m benchmarks.web

bench-load: $(VENV)/.dev ## Measure the site under many people at once, on both databases (an hour)
	$(BIN)/python -m benchmarks.load --database postgres
	$(BIN)/python -m benchmarks.load --database sqlite

screenshots: $(VENV)/.dev ## Make pictures of every page from the demo run, light and dark, wide and narrow
	$(BIN)/python -m docs.screenshots

train: $(VENV)/.compute ## Train the demo suite's networks again (hours on two cores)
	$(BIN)/python -m compute.demo.train

pins: ## Write what is installed into constraints.txt
	@(echo "# Every installed distribution, pinned. Made by 'make pins'; no addresses."; \
	  $(PIP) freeze | sed 's/+cpu$$//' | sort -f) > constraints.txt

clean: ## Remove the virtual environment and caches (never the data folder)
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache .cache
	find . -name __pycache__ -prune -not -path './var/*' -exec rm -rf {} +

$(VENV)/bin/python:
	@command -v $(PYTHON) >/dev/null || { echo "No '$(PYTHON)' found. Install Python 3.11 or newer, or name one: make demo PYTHON=/path/to/python3"; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is too old; Python 3.11 or newer is needed: make demo PYTHON=/path/to/python3.11"; exit 2; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "No virtual environment could be made. On Debian and Ubuntu: apt install python3-venv"; exit 2; }

# torch comes first and alone, so that TORCH_INDEX can say which build; the rest then finds it installed, and brings
# what torch needs itself, in our versions: such an index holds others
$(VENV)/.compute: requirements/web.txt requirements/compute.txt constraints.txt | $(VENV)/bin/python
	@echo "Installing into $(VENV) (the first time takes a few minutes) …"
	@$(PIP) install --quiet -c constraints.txt $(if $(TORCH_INDEX),--no-deps --index-url $(TORCH_INDEX)) torch
	@$(PIP) install --quiet -c constraints.txt -r requirements/compute.txt
	@touch $@

$(VENV)/.dev: requirements/dev.txt constraints.txt | $(VENV)/.compute
	@$(PIP) install --quiet -c constraints.txt -r requirements/dev.txt
	@touch $@
