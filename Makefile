# make demo   installs into .venv and shows the main job on the embedded routers
# make test   installs what the tests need (Debian packages too: needs root) and runs everything
# make check  style, types, architecture, fast tests: before every commit
# make chaos  disturbs the daemon, each way 20 times in a row (make test: 3 times)
# make faults what goes wrong while a plan is applied, on four kinds of router, as one table (make test: the same tests)
# make bench  measures the speed claims; writes bench/RESULTS.md
# make lab    a lab of real FRR routers in namespaces, to play with by hand

PYTHON ?= python3
BIN := .venv/bin

# Tests start the command thousands of times: without its bytecode each start would compile all modules anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test check chaos faults bench lab lock clean

demo: .venv/installed
	@$(BIN)/k8s-ecmp demo

test: .venv/developing
	@scripts/install-test-packages
	@$(MAKE) --no-print-directory style
	@$(BIN)/python -m tests.world.kube.build
	@$(BIN)/python -m tests.world.frr_release
	$(BIN)/pytest -q -n 5 --dist loadfile --no-loadscope-reorder

check: .venv/developing
	@$(MAKE) --no-print-directory -j 2 --output-sync=target style fast

.PHONY: style fast
fast:
	HYPOTHESIS_PROFILE=quick $(BIN)/pytest -q -n 2 -m "not world and not kubeworld and not slow"

style:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Every disturbance of the daemon 20 times in a row; an hour.
chaos: .venv/developing
	@scripts/install-test-packages
	@$(BIN)/python -m tests.world.kube.build
	K8S_ECMP_CHAOS=20 $(BIN)/pytest -q tests/kube/test_follow_outages.py tests/daemon/test_chaos_api.py tests/daemon/test_chaos_cluster.py tests/daemon/test_chaos_process.py

faults: .venv/developing
	@scripts/install-test-packages
	@$(BIN)/python -m tests.faults

bench: .venv/developing
	@scripts/install-test-packages
	$(BIN)/python -m bench

lab: .venv/developing
	@scripts/install-test-packages
	$(BIN)/python -m tests.world.lab up

# The versions and hashes of everything that is installed.
lock: .venv/developing
	$(BIN)/pip install -q uv
	$(BIN)/uv pip compile pyproject.toml --extra build --universal --generate-hashes --no-header -q -o constraints.txt --python-version 3.11
	$(BIN)/uv pip compile pyproject.toml --extra build --extra dev -c constraints.txt --universal --generate-hashes --no-header -q -o constraints-dev.txt --python-version 3.11

.venv/bin/python:
	@scripts/make-venv $(PYTHON)

.venv/installed: .venv/bin/python constraints.txt pyproject.toml
	@echo "installing into .venv ..."
	@$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r constraints.txt
	@$(BIN)/pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

.venv/developing: .venv/installed constraints-dev.txt
	@$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r constraints-dev.txt
	@touch $@

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
