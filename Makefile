PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: install system-packages run test proofs coverage check clients docs bench profile chaos migration

# pip without --group (before 25.1) cannot read dependency groups, so pip itself comes first.
$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --editable . --group dev
	touch $@

install: $(VENV)/.installed

# What tests need from Debian: a browser, and whatever else they drive for real. Only what is missing; needs root.
system-packages:
	.ci/system-packages

run: install
	$(BIN)/cascade demo

test: install
	$(BIN)/python -m pytest -n 2

# What `make bench`, `make chaos` and `python -m bench.fuzz` do, in small: that they work, and keep what they promise.
proofs: install
	$(BIN)/python -m pytest -n 2 -m proof

# The suite, and which lines it reached: a fifth slower.
coverage: install
	$(BIN)/python -m pytest -n 2 --cov --cov-report=term:skip-covered

check: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m cascade.store.migrations.new --check

# The documentation as a site that works without the internet: build/site/index.html
docs: install build/node_modules/mermaid
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

build/node_modules/mermaid:
	npm install --silent --no-save --no-package-lock --ignore-scripts --prefix build mermaid@11

# What customers install, into dist/: a wheel, a tarball for npm, an archive for composer.
clients: install
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist clients/python
	mkdir -p dist && cd clients/javascript && npm pack --silent --pack-destination ../../dist
	cd clients/php && COMPOSER_ALLOW_SUPERUSER=1 composer archive --quiet --format=zip --dir=../../dist --file=cascade-client-php

bench: install
	$(BIN)/python -m bench

# make profile WALK=webhooks: a flame graph of that walk, profile.svg
profile: install
	$(BIN)/python -m bench.flame --walk $(or $(WALK),smpp)

chaos: install
	$(BIN)/python -m bench.chaos
	$(BIN)/python -m bench.chaos --nodes 4
	$(BIN)/python -m bench.chaos --nodes 4 --untold --kills 50 --store-kills 5 --cuts 1 --messages 25000
	$(BIN)/python -m bench.fuzz
	$(BIN)/python -m bench.campaign

# make migration NAME="Remember who asked"
migration: install
	$(BIN)/python -m cascade.store.migrations.new $(NAME)
	$(BIN)/ruff format --quiet src/cascade/store/migrations
