# Each target sets up what it needs by itself: .venv, with uv inside it.
PYTHON ?= python3
BIN := .venv/bin
TESTS ?= tests visattn
export OMP_WAIT_POLICY ?= passive

.PHONY: help setup check test test-all coverage api demo docs bench dist matrix clean

help:  ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/ready  ## Make .venv with everything in it (torch and its friends: a minute or two)

.venv/ready: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("visattn needs Python 3.11 or newer, and this is " + sys.version.split()[0] + "; name another: make PYTHON=python3.12")'
	@echo "make: setting up .venv (PyTorch is large: a minute or two)"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --group dev --editable '.[train]'
	@touch $@

check: .venv/ready  ## Lint, formatting and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: .venv/ready  ## Run the quick tests on all cores
	@echo "make: running the quick tests; make test-all runs the slow ones too"
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal -m "not slow" $(TESTS)

test-all: .venv/ready  ## Run all tests, also the slow ones, before a release
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal $(TESTS)

coverage: .venv/ready  ## The quick tests with the lines that they run, what is missing by file
	rm -f .coverage .coverage.*
	OMP_NUM_THREADS=1 $(BIN)/python -m coverage run -m pytest -n auto --dist worksteal -m "not slow" $(TESTS)
	$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage report

api: .venv/ready  ## Write the list of public names anew: tests/public_api.txt
	PYTHONPATH=. $(BIN)/python tests/test_public_api.py > tests/public_api.new
	mv tests/public_api.new tests/public_api.txt

demo: .venv/ready  ## Render sushi, train with and without a mask, compare (5 to 7 minutes on two cores)
	$(BIN)/visattn demo

docs: .venv/ready  ## Build the documentation as a site, offline: runs/site/index.html
	NO_MKDOCS_2_WARNING=1 DISABLE_MKDOCS_2_WARNING=true $(BIN)/mkdocs build --quiet
	@echo "make: look at it with python3 -m http.server --directory runs/site"

bench: .venv/ready  ## What attention costs on this machine, into recipes/benchmarks (10 minutes, 13 GB)
	$(BIN)/visattn bench resnet50 se cbam --batch 8 --rounds 5 --threads 1 --layout contiguous \
		--block se cbam --shape 8,256,56,56 8,512,28,28 8,1024,14,14 \
		--out recipes/benchmarks --readme recipes/benchmarks/README.md

dist: .venv/ready  ## Build the wheel and the source distribution into dist/
	rm -rf dist
	$(BIN)/uv build --quiet --out-dir dist

matrix: .venv/ready  ## Try attention and class activation on all of timm and torchvision, write docs/ (hours; goes on where it was)
	PYTHONPATH=tests $(BIN)/python -m matrix

clean:  ## Remove .venv and the results of runs
	rm -rf .venv runs
