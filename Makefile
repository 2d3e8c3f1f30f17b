# `make compare` and `make test` work on a fresh machine with Python 3.11 and make; nothing else is needed.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
EXTRAS ?= bench,dev,examples
RUN := $(VENV)/bin/python
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help compare test sweep lint types bench wheel clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

compare: $(STAMP) ## run the examples on real input: check, time against the peers, save the pictures
	$(RUN) -m examples $(ARGS)

test: $(STAMP) ## all tests, on all cores
	$(RUN) -m pytest --numprocesses auto --dist worksteal $(ARGS)

sweep: $(STAMP) ## the exhaustive tests: every row, dtype, layout and size
	$(RUN) -m pytest -m sweep $(ARGS)

lint: $(STAMP) ## ruff
	$(RUN) -m ruff check .

types: $(STAMP) ## mypy, strict
	$(RUN) -m mypy

bench: $(STAMP) ## the benchmarks, as ratios to eager and to the peers; JSON in out/
	$(RUN) -m benchmarks --json out/benchmarks.json $(ARGS)

wheel: $(STAMP) ## dist/relume-*.whl
	$(RUN) -m pip wheel --quiet --no-deps --wheel-dir dist .

clean: ## remove everything that make made, except the environment
	rm -rf build dist out *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(STAMP): pyproject.toml constraints.txt
	test -x $(RUN) || $(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --constraint constraints.txt --editable '.[$(EXTRAS)]'
	touch $@
