# One command for each habit. Everything installs what it needs: the first run takes minutes, the next ones seconds.
PY := .venv/bin/python
ROOT := $(if $(filter 0,$(shell id -u)),,sudo -E)
SHELL := /bin/bash

.PHONY: demo test scenarios check pauses bench setup setup-tests requirements clean help

help:            ## this list
	@grep -E '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed -E 's/:.*## */\t/' | expand -t 16

demo: setup      ## a whole site on this machine: real directors, the Slack stand-in and the bot; prints one URL
	@$(ROOT) $(PY) -m bot demo

test: setup-tests ## style, types, layers and every test, the lab's and the scenarios included: 21 to 25 minutes from nothing, by the machine
	@$(PY) -m tests.together $(PYTEST)

scenarios: setup-tests ## everything that can go wrong at a site, played on real directors with two bots: some 16 minutes
	$(ROOT) $(PY) -m pytest -m scenario $(PYTEST)

check: setup-tests ## style, types, layers and the fast tests
	@$(MAKE) --no-print-directory static
	$(PY) -m pytest -m "not lab" $(PYTEST)

pauses: setup-tests ## the fast tests while the event loop stands still now and then: what goes red relies on a quick machine
	$(PY) -m pytest -p tests.pauses -m "not lab and not browser" $(PYTEST)

.PHONY: static
static:
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	.venv/bin/lint-imports

bench: setup-tests ## speed, as ratios within one run; prints a table and keeps it in docs/speed.md
	@$(ROOT) $(PY) -m tests.bench

setup:           ## the virtual environment and the lab's host packages
	@bash bot/local/setup.sh requirements.txt

setup-tests:     ## the same, and what the tests need besides
	@bash bot/local/setup.sh requirements-dev.txt tests

clean:           ## take a lab that was left behind down, and remove what was built here
	-@$(ROOT) $(PY) -m bot lab down --name demo
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
