# Two commands do everything on a fresh machine: `make eval` and `make test`.
# A python3.12 or python3.11 that runs (a version manager's shim may not) and has venv; `make setup PYTHON=...` names one.
PYTHON ?= $(shell for python in python3.12 python3.11 python3; do \
	$$python -c '$(FITS)' 2>/dev/null && echo $$python && break; done)
FITS := import sys, ensurepip; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))
WANTED := Python 3.12 or 3.11 with venv is needed; install one (uv python install 3.12), or name one (make setup PYTHON=...)
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-compile
CORES ?= all

.PHONY: setup lock eval ablation test quick stress lint format docs bench clean

setup: .venv/.installed

# First what builds packages that are published as sources alone. torch's build for the CPU is taken where pip finds it
# (PyTorch has it on an index of its own); `make setup TORCH=cuda` takes the build for CUDA.
TORCH ?= cpu
.venv/.locked: $(wildcard envs/lock*.txt)
	@$(or $(PYTHON),false) -c '$(FITS)' 2>/dev/null || { echo "$(or $(PYTHON),make setup): $(WANTED)" >&2; exit 1; }
	@echo "$(PYTHON): the packages of envs/lock.txt into .venv, which takes some minutes"
	@$(PYTHON) -m venv --clear .venv
	@$(PIP) --require-hashes -r envs/lock-build.txt
	@$(PIP) --require-hashes --no-build-isolation -r envs/lock.txt
	@test $(TORCH) = cpu && $(PIP) --require-hashes -r envs/lock-cpu.txt 2>/dev/null || { \
		echo "torch: the build for CUDA, some GB$(if $(filter cpu,$(TORCH)), (no index of pip's has the one for the CPU))"; \
		$(PIP) --require-hashes -r envs/lock-cuda.txt; }
	@touch $@

.venv/.installed: .venv/.locked pyproject.toml
	@PYTHONWARNINGS=ignore $(PIP) --no-build-isolation --editable .
	@touch $@

# The newest versions that fit what pyproject.toml says, where the lock has none; their hashes are those of the index.
lock: setup
	PATH="$(CURDIR)/$(BIN):$$PATH" python envs/lock.py

eval: setup
	PATH="$(CURDIR)/$(BIN):$$PATH" snakemake --cores $(CORES) eval

ablation: setup
	PATH="$(CURDIR)/$(BIN):$$PATH" snakemake --cores $(CORES) eval ablation

# In two processes: a few tests take minutes, and each of them up to two cores.
test: setup
	PATH="$(CURDIR)/$(BIN):$$PATH" pytest --numprocesses 2 --dist loadgroup

quick: setup
	PATH="$(CURDIR)/$(BIN):$$PATH" pytest -m quick

# What takes too long for every change: thousands of hostile inputs a reader (minutes), a training that goes on with another
# number of processes ten times (minutes), and a workflow that is killed 30 times and must end with the bytes of an
# undisturbed one (an hour or two). Results go to benchmarks/results.
stress: setup
	PYTHONPATH=benchmarks $(BIN)/python -m tests.fuzz --inputs 2000
	PYTHONPATH=benchmarks $(BIN)/python -m tests.stress.change_processes
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

# All but what others import, and those that are told on what they run.
bench: setup
	for script in $(filter-out $(addprefix benchmarks/,machine.py film.py curation%.py cuts.py grid_128.py resolution.py),$(wildcard benchmarks/*.py)); do PYTHONPATH=. $(BIN)/python $$script || exit 1; done

clean:
	rm -rf .venv .snakemake results
