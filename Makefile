# Each target makes what it needs; a fresh machine needs python3, make and a package index only.
#
#   PYTHON   the interpreter that the environment is made with     (python3)
#   VENV     where the environment stands                          (.venv)
#   ARGS     passed on: make test ARGS="tests/core -q"
#   WORKERS  processes that make test spreads its files over      (auto: two for each processor and
#            one more, at most 6, for many tests wait; 0: none, all in pytest's own

PYTHON ?= python3
VENV ?= .venv
ARGS ?=
WORKERS ?= auto
SEEDS ?= 200
FIRST_SEED ?= 0
KILLS ?= 200
MUTATIONS ?= --seed 1 --number 200

PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check --no-input --quiet
MEMBERS := core plugins/telegram plugins/slack plugins/discord contrib
EDITABLE := -e 'core[http,testing]' -e plugins/telegram -e plugins/slack -e plugins/discord \
	-e 'contrib[cli,emulators,otel,postgres,sealed,sqlite]'
NODE := build/npm/node_modules
# A file's tests stay together, in the order in which they stand: what a module shares is made once.
SPREAD = $(if $(filter-out 0,$(WORKERS)),-n $(WORKERS:auto=$(MANY)) --maxprocesses 6 --dist loadfile --no-loadscope-reorder)
# A processor has something to do while tests wait for a process or a clock.
MANY = $$($(PY) -c "import os; print(1 + 2 * len(getattr(os, 'sched_getaffinity', lambda _: range(os.cpu_count() or 1))(0)))")
# Tests write into memory where there is room for it, unless TMPDIR says where: they wait for no disk.
# The folder is gone when they end. Other users may pass through it, as PostgreSQL's servers do.
MEMORY := /dev/shm
MEMORY_FOLDER = trap 'rm -rf "$$folder"' EXIT; trap 'exit 130' INT; trap 'exit 143' TERM; \
	if [ -z "$$TMPDIR" ] && [ "$$(df --output=avail $(MEMORY) 2>/dev/null | tail -n 1)" -gt 4000000 ] 2>/dev/null; \
	then folder=$$(mktemp -d $(MEMORY)/gateway.XXXX) && chmod 755 "$$folder" && export TMPDIR="$$folder"; fi
RUN := $(VENV)/.installed-run
DEV := $(VENV)/.installed-dev
BENCH := $(VENV)/.installed-bench
COMPILED := tests/core/text tests/plugins/markdown
COMPILED_PIP := build/compiled/bin/python -m pip --disable-pip-version-check --no-input --quiet
SOURCES := $(MEMBERS:%=%/pyproject.toml) $(shell find $(MEMBERS:%=%/src) -name '*.py')

.DEFAULT_GOAL := help
.PHONY: help demo test check docs pictures bench peers simulate mutate crash-test compiled release clean

help: ## show this list
	@echo "make demo      600 real texts to 60 rooms on three emulated platforms, under a minute"
	@echo "               (ARGS=\"--processes 3\": through three processes and PostgreSQL, one is killed)"
	@echo "make test      every test           (ARGS=\"tests/core -q\" for some, GATEWAY_LONG=1 for more of a kind)"
	@echo "make check     ruff, ruff format, mypy --strict"
	@echo "make docs      the documentation, into docs/_build/html; a warning is an error"
	@echo "make pictures  how texts look on each platform, drawn for the documentation"
	@echo "make bench     measures every figure in the docs"
	@echo "make peers     the comparison with other clients, into its page   (half an hour)"
	@echo "make simulate  seeded runs of a whole faulty world   (SEEDS=200 FIRST_SEED=0)"
	@echo "make mutate    200 one-line changes: does a test notice each?   (half an hour)"
	@echo "make compiled  compiled wheels in build/wheels, and their tests   (needs a C compiler)"
	@echo "make release   sdists and wheels of all members in build/release, checked; uploads nothing"
	@echo "make crash-test  kill -9 a gateway at every step, over and over   (KILLS=200)"
	@echo "make clean     remove $(VENV), build, caches and built pages"

demo: $(RUN)
	@echo "demo: three emulated platforms on loopback, 600 texts, 60 rooms"
	@$(VENV)/bin/gateway demo $(ARGS)

# Bytecode is kept: without it each worker, and each of the hundreds of programs that tests begin,
# would compile every module anew.
test: $(DEV) $(NODE)
	@echo "test: pytest on $$($(PY) -V)"
	@$(MEMORY_FOLDER); NODE_PATH=$(CURDIR)/$(NODE) env -u PYTHONDONTWRITEBYTECODE $(PY) -m pytest $(SPREAD) $(ARGS)

check: $(DEV)
	@echo "check: ruff"
	@$(PY) -m ruff check .
	@echo "check: ruff format"
	@$(PY) -m ruff format --check .
	@echo "check: mypy --strict"
	@$(PY) -m mypy

docs: $(DEV)
	@echo "docs: building docs/_build/html"
	@$(PY) -m sphinx -W --keep-going -q -b html docs docs/_build/html $(ARGS)
	@echo "docs: open docs/_build/html/index.html"

pictures: $(RUN)
	@for text in docs/reference/looks/*.md; do \
		table=$${text%.md}.toml; test -e $$table || table=; \
		$(VENV)/bin/gateway explain --file $$text --svg $${text%.md}.svg \
			$${table:+--config} $$table >/dev/null && echo "pictures: $${text%.md}.svg"; \
	done

bench: $(BENCH)
	@echo "bench: on $$($(PY) -V)"
	@$(PY) -m bench $(ARGS)

peers: $(DEV) build/peers/.installed
	@echo "peers: measuring every client, platform and fault, into docs/explanation/comparison.md"
	@$(PY) -m bench.peers --python build/peers/bin/python --rows build/peers/rows.jsonl --write $(ARGS)
	@rm build/peers/rows.jsonl

# Libraries that want other versions than the workspace's: an environment of their own.
build/peers/.installed: bench/peers/requirements.txt
	@echo "peers: making their environment in build/peers"
	@$(PYTHON) -m venv build/peers
	@build/peers/bin/python -m pip --disable-pip-version-check --quiet install -r $<
	@touch $@

# Somebody else's parser of Discord's dialect; the tests that ask it say so where it cannot be had.
# One try, since npm by itself waits more than a minute for a registry that is not there.
NPM := $(shell command -v timeout >/dev/null && echo timeout 30) npm
NPM_ONCE := --fetch-retries=0 --fetch-timeout=10000 --silent --no-audit --no-fund
$(NODE):
	@if command -v npm >/dev/null; then echo "setup: npm's discord-markdown-parser"; \
		mkdir -p build/npm && $(NPM) install $(NPM_ONCE) --prefix build/npm \
			discord-markdown-parser@1.3.1 || echo "setup: npm cannot fetch it, left out"; \
	else echo "setup: no npm on this machine: discord-markdown-parser is left out"; fi

# The gateway as its compiled wheels have it, in an environment of its own: first the distributions
# in Python, which the compiler reads the types of, then those that it compiles, out of archives so
# that nothing compiled is left beside the sources.
compiled: build/compiled/.installed $(NODE)
	@echo "compiled: pytest on the compiled wheels, $$(build/compiled/bin/python -V)"
	@NODE_PATH=$(CURDIR)/$(NODE) GATEWAY_COMPILED=1 build/compiled/bin/python -m pytest $(or $(ARGS),$(COMPILED))

build/compiled/.installed: $(RUN) $(SOURCES)
	@echo "compiled: compiling the modules that plan texts, into build/wheels"
	@rm -rf build/compiled build/archives build/wheels && $(PYTHON) -m venv build/compiled
	@$(COMPILED_PIP) install -c constraints.txt pip
	@$(COMPILED_PIP) install -c constraints.txt --group compile
	@$(COMPILED_PIP) install -c constraints.txt --group test --no-build-isolation $(MEMBERS:%=./%) \
		'./core[http,testing]' './contrib[cli,emulators,otel,postgres,sealed,sqlite]'
	@for member in $(filter-out contrib,$(MEMBERS)); do \
		(cd $$member && $(CURDIR)/$(PY) -m hatchling build -t sdist -d $(CURDIR)/build/archives >/dev/null) || exit 1; done
	@HATCH_BUILD_HOOKS_ENABLE=true $(COMPILED_PIP) wheel --no-build-isolation --no-deps \
		-w build/wheels build/archives/*.tar.gz
	@$(COMPILED_PIP) install --no-deps --force-reinstall build/wheels/*.whl
	@touch $@

# What is built is what is looked at: the tests take the archives out of build/release.
release: $(DEV)
	@left=$$(git status --porcelain) && if [ -n "$$left" ]; then \
		echo "release: commit or stash these changes first:"; echo "$$left"; exit 1; fi
	@echo "release: sdists and wheels of $(MEMBERS), into build/release"
	@rm -rf build/release && mkdir -p build/release
	@for member in $(MEMBERS); do \
		(cd $$member && $(CURDIR)/$(PY) -m hatchling build -t sdist -d $(CURDIR)/build/release >/dev/null) || exit 1; done
	@$(PIP) wheel --no-deps --no-index --no-build-isolation -w build/release build/release/*.tar.gz
	@echo "release: checking versions, changelog, metadata, contents, each member alone, the READMEs' programs"
	@GATEWAY_RELEASE=$(CURDIR)/build/release GATEWAY_LONG=1 env -u PYTHONDONTWRITEBYTECODE \
		$(PY) -m pytest -q tests/integration/test_wheels.py tests/docs/test_installing.py tests/docs/test_readmes.py
	@echo "release: nothing was uploaded. In build/release:"
	@cd build/release && sha256sum *
	@echo "release: what to do next:"
	@if grep -q example.com core/pyproject.toml; then \
		echo "  0. give [project.urls] of the members the project's own address: they still name example.com"; fi
	@echo "  1. register the five names on the index"
	@echo "  2. set RELEASED to True in tests/docs/test_installing.py, change each page that it then names,"
	@echo "     and write the date instead of \"unreleased\" in CHANGELOG.md; commit"
	@echo "  3. run .ci/run, then make release once more"
	@echo "  4. git tag, and upload build/release with twine"

simulate: $(DEV)
	@echo "simulate: $(SEEDS) seeds from $(FIRST_SEED)"
	@$(PY) -m bench.simulate --seeds $(SEEDS) --first-seed $(FIRST_SEED) $(ARGS)

mutate: $(DEV) build/mutations/.installed
	@echo "mutate: $(MUTATIONS)"
	@build/mutations/bin/python -m bench.mutations.making $(MUTATIONS) >build/mutations/chosen.jsonl
	@$(PY) -m bench.mutations build/mutations/chosen.jsonl $(ARGS)

build/mutations/.installed: bench/mutations/requirements.txt
	@echo "mutate: installing the maker of mutations in build/mutations"
	@$(PYTHON) -m venv build/mutations
	@build/mutations/bin/python -m pip --disable-pip-version-check --quiet install -r $<
	@touch $@

crash-test: $(DEV)
	@echo "crash-test: $(KILLS) kills"
	@$(PY) -m bench.crashes --kills $(KILLS) $(ARGS)

clean:
	@echo "clean: removing $(VENV), build, caches and built pages"
	@rm -rf $(VENV) build docs/_build .coverage .coverage.* .mypy_cache .pytest_cache .ruff_cache

# pip and the build backend come first and pinned, so that the members build without a download each.
# `pip install ./core` in this environment puts a copy in the place of the editable installation.
COPIES := $(wildcard $(VENV)/lib/python*/site-packages/gateway_*/__init__.py)
.PHONY: copied
copied:

$(RUN): constraints.txt pyproject.toml $(MEMBERS:%=%/pyproject.toml) $(if $(COPIES),copied)
	@echo "setup: making $(VENV) with $$($(PYTHON) -V)"
	@$(PYTHON) -m venv $(VENV)
	@echo "setup: installing the gateway, its channels, command line and emulators"
	@$(PIP) install -c constraints.txt pip hatchling editables
	@$(PIP) install -c constraints.txt --no-build-isolation $(EDITABLE)
	@touch $@

$(DEV): $(RUN)
	@echo "setup: installing what tests, checks and docs need"
	@$(PIP) install -c constraints.txt --group dev
	@touch $@

$(BENCH): bench/requirements.txt $(DEV)
	@echo "setup: installing what the benches compare with"
	@$(PIP) install -c constraints.txt -r $<
	@touch $@
