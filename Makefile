# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# pip shows its progress on a terminal and is quiet in a log
PIP := $(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt $$([ -t 1 ] || echo --quiet)

.PHONY: help install demo test test-all test-exhaustive test-zoo test-lowest test-newest gpu-evidence docs lint types clean

help:
	@echo "make demo      install, train on MNIST (or the embedded digits) and show the result"
	@echo "make test      install, then lint, types and tests"
	@echo "make test-all  and the long tests, and workers on a real Ray of two nodes, killed"
	@echo "make test-exhaustive  the porting bugs and harmless rewrites that make test leaves"
	@echo "make test-zoo  public models of transformers against their twins, on the ports' ladder"
	@echo "make test-lowest, make test-newest  the suite at both ends of what pyproject.toml allows"
	@echo "make docs      the docs site, in build/docs"
	@echo "make gpu-evidence  measure on a GPU what the pages leave open, in docs/evidence/gpu-*.json"
	@echo "make install   make the environment alone, in $(VENV)"

$(VENV)/.installed: pyproject.toml constraints.txt
	@echo "installing into $(VENV): 6 to 8 GB, some minutes"
	$(PYTHON) -m venv $(VENV)
	$(PIP) -e '.[all]'
	@touch $@

$(VENV)/.tested: $(VENV)/.installed
	$(PIP) -e '.[all,test]'
	@touch $@

$(VENV)/.tested-all: $(VENV)/.tested
	$(PIP) -e '.[all,test,ray,docs]'
	@touch $@

$(VENV)/.docs: $(VENV)/.installed
	$(PIP) -e '.[all,docs]'
	@touch $@

install: $(VENV)/.installed

demo: install
	$(BIN)/mnist-fn train --dataset auto --epochs 10 --l2 3e-5
	@echo "next: . $(BIN)/activate && mnist-fn report runs --out report.html"

gpu-evidence: $(VENV)/.tested
	$(BIN)/python docs/make/evidence_gpu.py

docs: $(VENV)/.docs
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs build/docs
	@echo "build/docs/index.html"

lint: $(VENV)/.tested
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.tested
	$(BIN)/basedpyright

test: lint types
	$(BIN)/python -m pytest -n auto --dist loadfile -m 'not long and not exhaustive and not cluster and not zoo'

test-all: $(VENV)/.tested-all test
	$(BIN)/python -m pytest -n auto --dist loadfile -m 'long and not exhaustive'
	$(BIN)/python -m pytest -m cluster

test-exhaustive: $(VENV)/.tested
	$(BIN)/python -m pytest -n auto -m exhaustive --record

test-zoo: $(VENV)/.tested
	$(PIP) -e '.[all,test,zoo]'
	$(BIN)/python -m pytest -m zoo tests/zoo

test-lowest test-newest: $(VENV)/.tested
	$(BIN)/python docs/make/evidence_bounds.py $(@:test-%=%)
	$(BIN)/python docs/make/make_versions.py

clean:
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache
