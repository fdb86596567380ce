# Every target sets up what it needs: Debian with python3 (3.11), python3-venv, make and git is enough.
PYTHON ?= python3
export PATH := $(CURDIR)/.venv/bin:$(PATH)
READY := .venv/ready

.PHONY: repro summary ui verify serve demo test fast fuzz check format bench lock clean

repro: $(READY)  ## run what has changed, then show the result
	seedlings preset
	dvc repro
	-seedlings sync
	seedlings summary

summary: $(READY)  ## show the result again
	seedlings summary

ui: $(READY)  ## open MLflow (http://127.0.0.1:5000)
	seedlings ui

verify: $(READY)  ## rebuild the last commit in a clone: are all bytes the same?
	seedlings verify

test: $(READY)  ## all tests, the slow ones first
	python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

fast: $(READY)  ## the tests that start no pipeline
	python -m pytest -n 2 --dist loadfile -m "not slow"

check: $(READY)  ## format, lint, types
	ruff format --check .
	ruff check .
	mypy

format: $(READY)  ## put the code into shape
	ruff format .
	ruff check --fix .

fuzz: $(READY)  ## 30,000 random inputs of each kind: images, archives, parameters, indexes
	FUZZ_EXAMPLES=30000 python -m pytest -n 2 tests/test_fuzz.py

serve: $(READY)  ## answer for images over HTTP (http://127.0.0.1:5001/invocations)
	seedlings serve

demo: $(READY)  ## a page to drop a picture on (http://127.0.0.1:8501)
	seedlings demo

bench: $(READY)  ## measure: speed and memory, as ratios
	python -m benchmarks

lock:  ## pin the dependencies anew (needs uv)
	uv pip compile --quiet --upgrade --extra dev --extra demo --extra server --generate-hashes --python-version 3.11 \
		--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" \
		--output-file requirements.lock pyproject.toml

$(READY): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info[:2] == (3, 11) else "expected Python 3.11, found %d.%d; say which with: make PYTHON=python3.11" % sys.version_info[:2])'
	$(PYTHON) -m venv .venv
	python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
	python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $(READY)

clean:  ## remove the environment
	rm -rf .venv
