# Two commands, and each sets up all it needs:
#   make demo    transcribe the bundled recording with the bundled model
#   make test    run all tests
.PHONY: demo test clean
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
OUTPUT := runs/demo
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# The first Python of this list that is new enough; choose another with `make PYTHON=...`.
PYTHON := $(shell for one in python3 python3.13 python3.12 python3.11 python; do \
    "$$one" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$one" && break; done)

demo: $(VENV)/.installed
	@$(BIN)/distilcli transcribe distilcli/assets/demo.mp3 --model nano --srt -o $(OUTPUT)
	@cat $(OUTPUT)/demo.srt
	@echo "The subtitles are in $(OUTPUT)/demo.srt"
	@echo "Your own recording: $(BIN)/distilcli transcribe FILE --srt"

test: $(VENV)/.installed-dev
	@$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "error: Python 3.11 or newer is needed and none was found" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# One stamp per set of packages, renewed when what is to be installed changes.
$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install --constraint constraints.txt --editable .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install --constraint constraints.txt --editable ".[dev]"
	@touch $@ $(VENV)/.installed

clean:
	rm -rf $(VENV) $(OUTPUT) build dist
