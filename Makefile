# Everything a newcomer needs: `make demo` and `make test` set up what they need themselves.
PYTHON ?= python3
# Compiled modules are kept, also where the environment says otherwise: the tests start many processes.
export PYTHONDONTWRITEBYTECODE :=
BIN := .venv/bin
# Modules are compiled when they are first imported: most of what is installed never is.
PIP := $(BIN)/python -m pip install --quiet --no-compile -c constraints.txt
# Every worker runs neighbouring tests, so that what a file of tests shares is made once.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest
WORKERS := -n 2 --dist worksteal

SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)

.PHONY: demo app test test-optional-models test-tensorflow test-ray test-app test-front planted-bugs check front front-current bench docs clean

demo: .venv/.core  ## explain built-in pictures with the built-in networks
	$(BIN)/camlucida demo

app: .venv/.web  ## open the page on this machine; `make app ARGS="--model resnet50 --data photos/"`
	$(BIN)/camlucida app $(ARGS)

test: .venv/.dev  ## run the tests, all but those in a browser and on Ray
	$(PYTEST) $(WORKERS) --ignore=tests/browser --ignore=tests/ray

test-optional-models: .venv/.optional-models  ## run the tests that need ultralytics or MONAI
	$(PYTEST) $(WORKERS) tests/models/detection/test_detectors_of_ultralytics.py tests/models/segmentation/test_families.py tests/models/test_families.py

test-tensorflow: .venv/.tensorflow  ## run the tests of Keras models again, with TensorFlow as the backend
	KERAS_BACKEND=tensorflow $(PYTEST) $(WORKERS) tests/models/keras

test-ray: .venv/.ray  ## run the tests of the engine ray, on a cluster of two nodes on this machine
	$(PYTEST) tests/ray

test-app: .venv/.browser  ## run the page in a real headless Chromium, which is installed if there is none
	$(PYTEST) $(WORKERS) tests/browser

planted-bugs: .venv/.dev  ## plant known bugs one at a time: do the tests notice? `make planted-bugs ARGS="--only cli"`
	$(BIN)/python scripts/planted_bugs.py $(ARGS)

test-front: frontend/node_modules  ## the front end's own sums, without a browser (needs Node 20 or newer)
	cd frontend && npm test --silent

check: .venv/.dev  ## formatting, lint, strict types, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

front: .venv/.dev frontend/node_modules  ## build the page's front end into the package (needs Node 20 or newer)
	$(BIN)/python scripts/describe_api.py
	cd frontend && npm run --silent types && npm run --silent build

front-current: front test-front  ## tests the front end, and fails where what is committed is not what the source gives
	git diff --exit-code --stat -- frontend/openapi.json frontend/src/schema.ts src/camlucida/app/static
	test -z "$$(git status --porcelain -- src/camlucida/app/static)"

bench: .venv/.bench  ## time and memory, as interleaved ratios, against the peers
	$(BIN)/python benchmarks/run.py

docs: .venv/.docs  ## build the documentation into site/
	$(BIN)/python docs/generate.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

clean:
	rm -rf .venv site camlucida-out frontend/node_modules

.venv/.core: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Camlucida needs Python 3.11 or newer: make PYTHON=python3.11 …")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(PIP) -e .
	touch $@

.venv/.dev: .venv/.core
	$(PIP) -e '.[test,check,parity]'
	touch $@

.venv/.web: .venv/.core
	$(PIP) -e '.[web]'
	touch $@

# ultralytics requires opencv-python, which needs libGL; opencv-python-headless of .venv/.dev has what it imports
.venv/.optional-models: .venv/.dev
	$(PIP) --no-deps ultralytics monai
	YOLO_OFFLINE=true YOLO_CONFIG_DIR=$$(mktemp -d) $(BIN)/python -c 'import monai.networks.nets, ultralytics.nn.tasks'
	touch $@

.venv/.tensorflow: .venv/.dev
	$(PIP) tensorflow-cpu
	touch $@

.venv/.ray: .venv/.dev
	$(PIP) -e '.[ray]'
	touch $@

.venv/.browser: .venv/.dev
	$(PIP) -e '.[browser]'
	command -v chromium >/dev/null || command -v chromium-browser >/dev/null || { $(SUDO) apt-get update -qq && $(SUDO) apt-get install -y -qq --no-install-recommends chromium; }
	touch $@

frontend/node_modules: frontend/package-lock.json
	cd frontend && npm ci --silent
	touch $@

.venv/.bench: .venv/.core
	$(PIP) -e '.[bench]'
	touch $@

.venv/.docs: .venv/.core
	$(PIP) -e '.[docs]'
	touch $@
