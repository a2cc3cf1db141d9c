# What people and CI call. A fresh machine needs Python 3.11 or later, and make; nothing else.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check --quiet
JOBS   ?= 2

.PHONY: help try test browser check format bench docs clean

help:
	@echo "make try     train a small transformer on the bundled dialogues and talk to it"
	@echo "make test    run the everyday tests (make test ARGS='-m slow' for the long ones)"
	@echo "make browser install chromium for the tests of the page (Debian, as root), unless it is there"
	@echo "make check   lint, format, types, generated pages, imports that run one way"
	@echo "make format  format the code"
	@echo "make docs    write the generated pages of docs/ anew"
	@echo "make bench   measure; results go to benchmarks/results"
	@echo "make clean   remove what was made"

try: $(VENV)/installed
	@$(BIN)/nextword try

test: $(VENV)/installed-test
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal $(ARGS)

browser:
	@if command -v chromium > /dev/null || command -v chromium-browser > /dev/null; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null; then \
		apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium; \
	else \
		echo "The tests of the page need chromium, and it is not installed. This needs root and"; \
		echo "apt-get: sudo make browser. Elsewhere, install Chromium so that 'chromium' is on the"; \
		echo "path. Without it, make test skips those tests and says so."; \
		exit 1; \
	fi

check: $(VENV)/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python docs/generate.py --check
	$(BIN)/python -m pytest tests/unit/test_imports.py

format: $(VENV)/installed-test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/installed-test
	$(BIN)/python docs/generate.py

bench: $(VENV)/installed-test
	$(BIN)/python benchmarks/run.py $(ARGS)

clean:
	rm -rf $(VENV) out build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Nextword needs Python 3.11 or later; $(PYTHON) is $$($(PYTHON) --version 2>&1). Say which: make PYTHON=python3.12 …"; exit 1; }
	$(PYTHON) -m venv $(VENV)

# Stamps: an install is done again when what it installs has changed.
$(VENV)/installed: $(BIN)/python pyproject.toml constraints.txt
	@echo "Installing Nextword into $(VENV) (once; torch is large) …"
	$(PIP) install --constraint constraints.txt --editable .
	@touch $@

$(VENV)/installed-test: $(VENV)/installed
	$(PIP) install --constraint constraints.txt --editable '.[test,check]'
	@touch $@
