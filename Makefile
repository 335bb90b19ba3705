# Two commands do everything on a fresh machine: `make eval` and `make test`.
PYTHON ?= python3
BIN := .venv/bin
CORES ?= all

.PHONY: setup eval ablation test quick stress lint format docs bench clean

setup: .venv/.installed

# The packages of the group no-deps have stale pins of their own, so they go in last and alone.
.venv/.installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	$(BIN)/python -m pip install --quiet --no-deps --group no-deps
	touch $@

eval: setup
	PATH="$(CURDIR)/$(BIN):$$PATH" snakemake --cores $(CORES) eval

ablation: setup
	PATH="$(CURDIR)/$(BIN):$$PATH" snakemake --cores $(CORES) ablation

test: setup
	PATH="$(CURDIR)/$(BIN):$$PATH" pytest

quick: setup
	PATH="$(CURDIR)/$(BIN):$$PATH" pytest -m quick

# What takes too long for every change: thousands of hostile inputs a reader (minutes), and a workflow that is killed 30 times
# and must end with the bytes of an undisturbed one (an hour or two). Results go to benchmarks/results.
stress: setup
	PYTHONPATH=benchmarks $(BIN)/python -m tests.fuzz --inputs 2000
	PYTHONPATH=benchmarks $(BIN)/python -m tests.stress.kill_anywhere --kills 30

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/mypy
	PATH="$(CURDIR)/$(BIN):$$PATH" snakemake --lint
	$(BIN)/zensical build --clean --strict

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt Snakefile workflow

# The tables, quoted figures and reference pages of README.md and docs/, then the site, strictly, into site/.
docs: setup
	$(BIN)/python -m tools.docs
	$(BIN)/zensical build --clean --strict

bench: setup
	for script in $(filter-out benchmarks/machine.py,$(wildcard benchmarks/*.py)); do $(BIN)/python $$script || exit 1; done

clean:
	rm -rf .venv .snakemake results
