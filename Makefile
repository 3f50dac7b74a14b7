# Every target sets up what it needs by itself: a fresh clone needs python3 and make only.
#   make demo         solve the Helmholtz case twice, by annealed gradients and by least squares, and print the errors
#   make test         the quick tests; make test ARGS="-m accuracy" for others
#   make lint         style and spelling
#   make types        mypy, which does not pass yet and is not part of lint
#   make bench        the measurements under benchmarks/, one after another
#   make constraints  write the exact versions of .venv to constraints.txt

PYTHON ?= python3
EXTRAS ?= dev,balance,export,reference,slurm,archive,barrier
WORKERS ?= 2
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
export OMP_NUM_THREADS ?= 1
export MPLBACKEND ?= Agg
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test lint types bench constraints clean
.DEFAULT_GOAL := demo

$(VENV)/.stamp: pyproject.toml setup.py constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "sciml needs Python 3.11 or newer, $(PYTHON) is " + sys.version.split()[0])'
	test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[$(EXTRAS)]'
	@touch $@

demo: $(VENV)/.stamp
	$(BIN)/sciml run helmholtz_2d
	$(BIN)/sciml run helmholtz_2d/best

test: $(VENV)/.stamp
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile $(ARGS)

lint: $(VENV)/.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell

types: $(VENV)/.stamp
	$(BIN)/mypy

bench: $(VENV)/.stamp
	@for script in $(filter-out benchmarks/graphcast_peer.py benchmarks/balancer_costs.py,$(sort $(wildcard benchmarks/*.py))); do \
	  echo "== $$script"; $(BIN)/python $$script || exit 1; done

constraints:
	$(BIN)/python -m pip freeze --exclude-editable \
	  | sed -E 's/\+[a-z0-9.]+$$//' | grep -viE '^(-e |sciml-suite|nvidia-|triton)' > constraints.tmp
	mv constraints.tmp constraints.txt
	@test ! -e $(VENV)/.stamp || touch $(VENV)/.stamp

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache
