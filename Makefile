# Every verb of the project; `make help` lists them.
PYTHON ?= python3
SIZE ?= full
DEVICE ?= auto
JOBS ?=
PORT ?= 8000
GENERATOR ?= properdocs
BIN := .venv/bin
# mkdocs-material prints a notice about a version of mkdocs that this project does not use.
export NO_MKDOCS_2_WARNING = 1
.DEFAULT_GOAL := help
.PHONY: help install site figures serve check test format bench mutants peers audit notebooks print exit constraints clean

help:  ## list the verbs
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install:
	@command -v $(PYTHON) >/dev/null || { echo "There is no $(PYTHON) here; name another with: make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) scripts/bootstrap.py

site: install  ## build the strict site into site/, after checking that every figure is fresh
	@$(BIN)/python scripts/build_figures.py check
	@echo "Building the pages and running the notebooks (a minute; seconds the next time) ..."
	@$(BIN)/mkdocs build --strict --quiet
	@echo "Built. Open site/index.html, or run: make serve"

figures: install  ## train what is stale and draw its figures (SIZE=full|smoke|gpu DEVICE=auto|cpu|cuda JOBS=n)
	@$(BIN)/python scripts/build_figures.py run --size $(SIZE) --device $(DEVICE) $(if $(JOBS),--jobs $(JOBS))

serve: install  ## the site on this machine, rebuilt as you write (PORT=8000)
	@$(BIN)/python -c "import socket; socket.socket().bind(('127.0.0.1', $(PORT)))" 2>/dev/null \
	  || { echo "Port $(PORT) is taken; stop the other server, or run: make serve PORT=$$(($(PORT) + 1))"; exit 1; }
	@$(BIN)/mkdocs serve --livereload --dev-addr 127.0.0.1:$(PORT)

check: install  ## format, types, fast tests, strict site, site checker: what CI runs
	@echo "Format and lint"; $(BIN)/ruff format --check --quiet . && $(BIN)/ruff check --quiet .
	@echo "Types"; $(BIN)/mypy
	@echo "Fast tests"; $(BIN)/python -m pytest -q -n auto -m "not slow and not site and not browser"
	@$(MAKE) --no-print-directory site
	@$(BIN)/python scripts/check_site.py

test: site  ## the whole suite, with a headless browser where one is found (MARK=... for a part of it)
	@$(BIN)/python -m pytest -q -n auto --ignore=tests/printing $(if $(MARK),-m "$(MARK)")
	@# Apart: a process holds one Playwright, and printing starts its own.
	@$(BIN)/python -m pytest -q tests/printing $(if $(MARK),-m "$(MARK)")

format: install  ## lay out the code and mend what the linter can
	@$(BIN)/ruff format --quiet . && $(BIN)/ruff check --fix --quiet .

bench: install  ## measure steps of training and sampling, and the digits against their aims (minutes)
	@$(BIN)/python tests/benchmarks/steps.py
	@$(BIN)/python tests/benchmarks/digits.py

mutants: install  ## plant faults in the library and see which its tests miss (half an hour; the core is in `make test`)
	@$(BIN)/python scripts/mutate.py

peers: install  ## compare with current releases of diffusers, torchcfm and others (optional, minutes)
	@$(BIN)/python scripts/peers.py

print: export FROMNOISE_PRINT = from-noise.pdf
print: site  ## print the book as one PDF, site/from-noise.pdf (needs a Chromium; minutes)
	@$(BIN)/python scripts/print_edition.py

exit: install  ## build the same pages by another generator and compare (GENERATOR=properdocs|zensical; minutes)
	@$(BIN)/python scripts/exit.py $(GENERATOR)

audit: site  ## Lighthouse on every kind of page (installs it on first use)
	@$(BIN)/python scripts/audit/run.py

notebooks: install  ## push the companion notebooks to the branch that Colab opens (REPO_URL, TOKEN)
	@$(BIN)/python scripts/publish_notebooks.py

constraints: install  ## pin the versions that are installed now
	@(sed -n 1p constraints.txt; $(BIN)/python -m pip freeze --exclude-editable --disable-pip-version-check | sed 's/+cpu//') > .constraints.new
	@mv .constraints.new constraints.txt

clean:  ## remove everything that was made, the environment included
	@rm -rf site .build .venv node_modules .pytest_cache .ruff_cache .mypy_cache src/*.egg-info
