# Two commands matter: `make demo` shows a live dashboard, `make test` runs every test.
# Both install what is missing first (.ci/bootstrap says what, and how to get what it cannot install).

SHELL := /bin/bash
PYTHON ?=
TORCH_INDEX ?=
PORT ?=
ROUTER_ARGS ?=
PYTEST_ARGS ?=
BENCH_ARGS ?=
SOAK_ARGS ?=
export PYTHON TORCH_INDEX

python := .venv/bin/python

.DEFAULT_GOAL := help
.PHONY: help demo test test-slurm check bench proofs faults soak generate clean

help:  ## show this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo:  ## start the example router and everything around it; PORT=8601 ROUTER_ARGS="--mutation-rate 0"
	@.ci/bootstrap demo
	@exec .venv/bin/moe-dashboard demo --stop-with-parent $(if $(PORT),--port $(PORT)) $(if $(ROUTER_ARGS),--router-args='$(ROUTER_ARGS)')

test:  ## run every test, the browser ones included; PYTEST_ARGS="-k words"
	@.ci/bootstrap test
	$(python) -m pytest --numprocesses 2 --dist loadfile $(PYTEST_ARGS)

test-slurm:  ## benchmarks through a real Slurm of one node (Debian's, installed if missing; needs root)
	@.ci/bootstrap slurm
	$(python) -m pytest -v tests/slurm/backend.py $(PYTEST_ARGS)

check:  ## lint, types, import contracts, generated files fresh
	@.ci/bootstrap test
	$(python) -m ruff format --check .
	$(python) -m ruff check .
	$(python) -m mypy
	.venv/bin/lint-imports
	$(python) -m pytest -q -k "fresh and not refresh"

bench:  ## print the speed table of this machine
	@.ci/bootstrap test
	$(python) -m tests.benchmarks $(BENCH_ARGS)

proofs:  ## the long ones: verdicts counted, random kills, our stopwatch against torch's, a million decoded values
	@.ci/bootstrap test
	$(python) -m tests.benchmark.statistics_job
	$(python) -m tests.benchmark.kills_job
	$(python) -m tests.benchmark.agreement
	$(python) -m tests.benchmark.sampler_job
	FUZZ_VALUES=1000000 $(python) -m pytest -q tests/collectors/test_prometheus_decode.py

faults:  ## every fault and every pair while a browser watches, 100 kills a store, thousands of damaged documents (an hour)
	@.ci/bootstrap test
	FAULTS=all KILLS=100 FAULTS_EXAMPLES=1000 $(python) -m pytest -q --timeout 7200 tests/faults

soak:  ## the demo with viewers for 20 minutes: memory, threads, descriptors; SOAK_ARGS="--minutes 8 --hurried"
	@.ci/bootstrap test
	$(python) -m tests.faults.soak $(SOAK_ARGS)

generate:  ## rewrite what is generated: deploy/, docs/metrics.md, the settings in the README
	@.ci/bootstrap test
	.venv/bin/moe-dashboard export rules -o deploy/prometheus
	.venv/bin/moe-dashboard export alertmanager -o deploy/alertmanager
	.venv/bin/moe-dashboard export grafana -o deploy/grafana
	.venv/bin/moe-dashboard export kubernetes -o deploy/kubernetes
	.venv/bin/moe-dashboard export metrics -o docs
	$(python) -m tests.readme

clean:  ## remove the virtual environment, caches and the demo's data
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build dist var/demo
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
