# Every target sets up what it needs: Debian with python3 (3.11 to 3.13), python3-venv, make and git is enough;
# Python 3.13, and any Python on arm64, also needs gcc and python3-dev.
PYTHON ?= python3
UPGRADE ?=
export PATH := $(CURDIR)/.venv/bin:$(PATH)
# The first import writes bytecode, in 9 s of CPU time; compiling every package takes 36 s, and without
# bytecode each process that imports Keras takes 9 s longer.
unexport PYTHONDONTWRITEBYTECODE
START := $(shell date +%s)
LOCKED_BUILD := --build-constraints requirements-build.lock --require-build-hashes
INSTALL := uv pip install --quiet --python .venv/bin/python $(LOCKED_BUILD)
COMPILE := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock"
DEVELOP := .venv/server .venv/demo .venv/cluster .venv/search .venv/export .venv/http .venv/test

.DEFAULT_GOAL := help
.PHONY: help repro summary ui verify serve demo review setup test test-hub fast nightly fuzz oracle check format bench lock clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' Makefile

repro: .venv/runtime  ## run the stages that changed, then show the result
	@echo "set-up: $$(($$(date +%s) - $(START))) s"
	@start=$$(date +%s); echo dvc repro; dvc repro && echo "pipeline: $$(($$(date +%s) - start)) s"
	-seedlings sync
	seedlings summary

summary: .venv/runtime  ## show the result again
	seedlings summary

ui: .venv/runtime  ## open MLflow; it prints the address of the list of results
	seedlings ui

verify: .venv/runtime  ## rebuild the last commit in a clone and compare its outputs
	seedlings verify

serve: .venv/runtime  ## predict over HTTP (http://127.0.0.1:5001/invocations)
	seedlings serve

demo: .venv/demo  ## a page that predicts the image dropped on it (http://127.0.0.1:8501)
	seedlings demo

review: .venv/demo  ## a page to decide about doubtful labels (http://127.0.0.1:8502)
	seedlings review

setup: $(DEVELOP)  ## install everything that tests and checks need

test: $(DEVELOP)  ## all tests that need nothing but Python packages
	python -m pytest -n 2 --dist worksteal -m "not nightly"

test-hub: .venv/test  ## the tests of networks of KerasHub, in an environment of their own
	uv venv --quiet --allow-existing --python .venv/bin/python .venv/with-hub
	uv pip sync --quiet --python .venv/with-hub/bin/python $(LOCKED_BUILD) --require-hashes \
		requirements-hub.lock requirements-cluster.lock requirements-test.lock
	PATH="$(CURDIR)/.venv/with-hub/bin:$$PATH" PYTHONPATH=$(CURDIR) python -m pytest tests/networks/test_hub.py

fast: $(DEVELOP)  ## the tests that start no pipeline and train no network
	python -m pytest -n 2 --dist worksteal -m "not nightly and not slow"

nightly: $(DEVELOP)  ## the tests with a browser, a database and an emulator, and of the benchmarks
	python -m pytest -n 2 --dist worksteal -m nightly

fuzz: $(DEVELOP)  ## 30,000 random inputs of each kind: images, archives, parameters, annotations
	FUZZ_EXAMPLES=30000 python -m pytest -n 2 $$(find tests -name test_fuzz.py)

oracle: $(DEVELOP)  ## 100 random sequences of changes: each result is that of a rebuild
	python tests/oracle.py --sequences 50 --steps 20
	python tests/oracle.py --sequences 50 --steps 20 --seed 1 --threads 1 --unportable

check: $(DEVELOP)  ## check format, lint and types
	ruff format --check .
	ruff check .
	mypy

format: $(DEVELOP)  ## format the code, fix what lint can fix
	ruff format .
	ruff check --fix .

bench: .venv/runtime  ## measure speed and memory, as ratios
	python -m benchmarks

lock: .venv/setup  ## pin what pyproject.toml adds (UPGRADE=--upgrade for new versions of all)
	$(COMPILE) $(UPGRADE) -o requirements.lock pyproject.toml
	$(COMPILE) $(UPGRADE) -c requirements.lock -o requirements-server.lock --group server
	$(COMPILE) $(UPGRADE) -c requirements.lock -c requirements-server.lock -o requirements-demo.lock --group demo
	$(COMPILE) $(UPGRADE) -c requirements.lock -c requirements-server.lock -c requirements-demo.lock \
		-o requirements-cluster.lock pyproject.toml --extra cluster
	$(COMPILE) $(UPGRADE) -c requirements.lock -c requirements-server.lock -c requirements-demo.lock \
		-c requirements-cluster.lock -o requirements-search.lock pyproject.toml --extra search
	$(COMPILE) $(UPGRADE) -c requirements.lock -o requirements-export.lock pyproject.toml --extra export
	$(COMPILE) $(UPGRADE) -c requirements.lock -c requirements-server.lock -c requirements-demo.lock \
		-o requirements-http.lock pyproject.toml --extra http
	$(COMPILE) $(UPGRADE) -c requirements.lock -c requirements-server.lock -c requirements-demo.lock \
		-c requirements-cluster.lock -c requirements-search.lock -c requirements-export.lock \
		-c requirements-http.lock -o requirements-test.lock --group test
	$(COMPILE) $(UPGRADE) -c requirements.lock -c requirements-server.lock -c requirements-demo.lock \
		-c requirements-cluster.lock -c requirements-search.lock -c requirements-test.lock \
		-o requirements-hub.lock pyproject.toml --extra hub
	$(COMPILE) $(UPGRADE) -c requirements.lock -o requirements-setup.lock --group setup
	$(COMPILE) $(UPGRADE) -c requirements.lock -o requirements-build.lock --group build

clean:  ## remove the environment
	rm -rf .venv

.venv/setup: requirements-setup.lock
	@$(PYTHON) tools/check_python.py
	$(PYTHON) -m venv .venv
	python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements-setup.lock
	@touch $@

# An older environment has `tensorflow`: it has the files of tensorflow-cpu, so that both go first.
.venv/runtime: requirements.lock requirements-build.lock pyproject.toml .venv/setup
	@if uv pip show --quiet --python .venv/bin/python tensorflow 2> /dev/null; then \
		uv pip uninstall --quiet --python .venv/bin/python tensorflow tensorflow-cpu; fi
	$(INSTALL) --require-hashes --requirement requirements.lock
	$(INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

.venv/server .venv/demo .venv/cluster .venv/search .venv/export .venv/http .venv/hub .venv/test: .venv/%: requirements-%.lock .venv/runtime
	$(INSTALL) --require-hashes --requirement $<
	@touch $@
