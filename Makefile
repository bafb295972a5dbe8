# make demo   train a small model on a streamed dataset: the shortest way to see Flazy work
# make test   the whole test suite
# make check  lint, types, floors: what every commit must pass
#
# Only make and Python 3.11 or later are assumed.  Packages go into .venv, and each target asks for no more
# of them than it needs: a file .venv/has-* stands for a set of extras and is redone when pyproject.toml changes.

PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --disable-pip-version-check -q

# Silence TensorFlow's notes about the processor it runs on.
export TF_CPP_MIN_LOG_LEVEL := 3

.PHONY: demo test test-small-shm check coverage soak chaos bench bench-remote compare peers-faults clean with-frameworks
.DELETE_ON_ERROR:
.NOTPARALLEL:

demo: .venv/has-examples
	@$(BIN)/python examples/train_digits.py

test: .venv/has-test with-frameworks
	@$(BIN)/python -m pytest

check: .venv/has-dev .venv/has-test
	@echo "ruff ..."
	@$(BIN)/ruff check .
	@echo "mypy ..."
	@$(BIN)/mypy
	@echo "floors, sizes and exports ..."
	@$(BIN)/python -m pytest -q tests/test_layers.py tests/test_house.py tests/test_exports.py

# The suite where /dev/shm has 1 MB, as containers have it at times; a part of it with e.g. TESTS=tests/parallel
SMALL_SHM := unshare --mount $(if $(filter-out 0,$(shell id -u)),--map-root-user) sh -c \
    'mount -t tmpfs -o size=1m tmpfs /dev/shm && exec "$$@"' sh

test-small-shm: .venv/has-test with-frameworks
	@if $(SMALL_SHM) true 2>/dev/null; then \
	    $(SMALL_SHM) $(BIN)/python -m pytest $(TESTS); \
	else \
	    echo "skipped: a mount of our own over /dev/shm (unshare --mount) is not permitted here, or not Linux"; \
	fi

coverage: .venv/has-test with-frameworks
	@$(BIN)/coverage erase
	@$(BIN)/coverage run -m pytest
	@$(BIN)/coverage combine -q
	@$(BIN)/coverage report

# An hour of batches, and whether anything grows: make soak MINUTES=60
soak: .venv/has-test
	@$(BIN)/python -m benchmarks.soak $(if $(MINUTES),--minutes=$(MINUTES))

# Workers killed and stopped, at random and at every point, for about ten minutes: make chaos SEED=7 ONLY=images SECONDS=60
chaos: .venv/has-test
	@$(BIN)/python -m tests.chaos.run $(if $(SEED),--seed=$(SEED)) $(if $(ONLY),--only='$(ONLY)') \
	    $(if $(SECONDS),--seconds=$(SECONDS))

# Flazy against its peers: everything, or e.g. make bench PEERS=torch,grain WORKLOADS=image_batch ROUNDS=3
bench: .venv/made
	@$(BIN)/python -m benchmarks.run --peers='$(PEERS)' --workloads='$(WORKLOADS)' --rounds='$(ROUNDS)' \
	    $(if $(SECONDS),--seconds=$(SECONDS)) $(if $(FRESH),--fresh) $(if $(WRITE),--write)

# Workers at the other end of TCP, of Flazy and of its peers: make bench-remote PEERS=torch_rpc,push_pull ROUNDS=9
bench-remote: .venv/made
	@$(BIN)/python -m benchmarks.remote --peers='$(PEERS)' --workloads='$(WORKLOADS)' --rounds='$(ROUNDS)' \
	    $(if $(SECONDS),--seconds=$(SECONDS)) $(if $(FRESH),--fresh) $(if $(WRITE),--write)

# Two commits of Flazy at its own rows of the benchmark, taking turns: make compare BASE=HEAD~5 PAIRS=10 ROWS=tiny,cpu
compare: .venv/has-test
	@$(BIN)/python -m benchmarks.compare $(BASE) $(if $(PAIRS),--pairs=$(PAIRS)) \
	    $(if $(SECONDS),--seconds=$(SECONDS)) $(if $(ROWS),--rows='$(ROWS)')

# Functions that misbehave, run by Flazy and by its peers; writes the tables of docs/reliability.md and README.md
peers-faults: .venv/has-test
	@$(BIN)/python -m tests.parallel.compared --write

clean:
	rm -rf .venv build dist *.egg-info htmlcov .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# $(PYTHON) first; where that is too old, whatever newer one the machine has.
.venv/made:
	@for python in $(PYTHON) python3.14 python3.13 python3.12 python3.11; do \
	    if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	        echo "setting up .venv with $$python (about a minute the first time) ..."; \
	        "$$python" -m venv .venv && touch $@; \
	        exit; \
	    fi; \
	done; \
	echo "Flazy needs Python 3.11 or later and found none; name one with: make PYTHON=/path/to/python3" >&2; \
	exit 1

.venv/has-examples: pyproject.toml | .venv/made
	@echo "installing Flazy and what the examples need ..."
	@$(INSTALL) -e '.[examples]'
	@touch $@

.venv/has-test: pyproject.toml | .venv/made
	@echo "installing Flazy and what the tests need ..."
	@$(INSTALL) -e '.[test,examples]'
	@touch $@

.venv/has-dev: pyproject.toml | .venv/made
	@echo "installing ruff, mypy and stubs ..."
	@$(INSTALL) -e '.[dev]'
	@touch $@

# What feeds hand batches to, and Ray (0.3 GB).  None is built for every Python and machine, so each may fail to install,
# which means skipped tests alone, and is tried again the next time.  Keras needs one of the others, Lightning PyTorch.
FRAMEWORKS := tensorflow torch jax keras lightning ray

# This release exactly, wherever PyTorch is asked for: a looser requirement is answered with the newest build that an
# index has, and that brings gigabytes of CUDA libraries to a machine without a GPU.
TORCH := torch==2.13.0

.venv/has-torch .venv/has-lightning: PINNED := '$(TORCH)'

$(FRAMEWORKS:%=.venv/has-%): .venv/has-%: pyproject.toml | .venv/made
	@echo "installing $* ..."
	@$(INSTALL) -e '.[$*]' $(PINNED) 2>.venv/$*.log && touch $@ \
	    || echo "$* cannot be installed here (see .venv/$*.log): its tests will be skipped"

with-frameworks: $(FRAMEWORKS:%=.venv/has-%)
