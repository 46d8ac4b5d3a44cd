# `make run` on a machine with Python 3.11+, make and git. Every target installs what it needs, once.

PYTHON ?= python3
BUCKET ?=
REGISTRY ?=
TAG ?=
TF_VARIANT ?= cpu
ENV ?=
ARGS ?=
# Checks .github/workflows; built from source, so it needs Go, and CI has to have it.
ACTIONLINT = $(if $(or $(CI),$(shell command -v go)),$(BIN)/actionlint)
TEST_WORKERS ?= 3

VENV := .venv
BIN := $(VENV)/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
export PYTHONPATH := $(CURDIR)
# Recipes read what a person gives from the environment, in quotes: no shell reads its spaces or quotes anew.
export BUCKET REGISTRY TAG TF_VARIANT ENV
# In a hook, git names the repository that it works on; make, below it, may be another's.
unexport $(filter-out GIT_CONFIG_%,$(filter GIT_%,$(.VARIABLES)))
# Bytecode once, here: without it, and where Python may write none, `import tensorflow` takes 8 s of CPU, not 3.
# Two packages come as sources only: what builds them is locked with hashes too.
INSTALL := $(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes \
	--build-constraints requirements/build.txt --requirement
# The checkout itself, as it stands: `mnist-pipeline` in .venv/bin. Built with the setuptools that is there already.
INSTALL_PROJECT := $(BIN)/uv pip install --quiet --python $(BIN)/python --offline --no-deps --no-build-isolation --editable .

.DEFAULT_GOAL := help

help:  ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */:/' | awk -F: '{printf "  make %-15s %s\n", $$1, $$2}'

setup: $(VENV)/dev  ## Make .venv with everything that run, test and check need

run: $(VENV)/local  ## Run the pipeline here: ingest, train, evaluate, export (BUCKET=URI, ARGS="-p epochs=3")
	python -m pipeline run $(if $(BUCKET),--bucket "$$BUCKET") $(ARGS)

images: $(VENV)/local  ## Build the four images (REGISTRY=host/path, TAG=git SHA, TF_VARIANT=cpu|gpu, SIGNING=1)
	python -m pipeline images build --registry "$$REGISTRY" --tag "$$TAG" --tf-variant "$$TF_VARIANT" $(if $(SIGNING),--signing)

push: $(VENV)/local  ## Push the four images and write output/digests.json, which pins them (REGISTRY, TAG)
	python -m pipeline images push --registry "$$REGISTRY" --tag "$$TAG"

run-docker: $(VENV)/local  ## Run the pipeline with nothing but its images (BUCKET, REGISTRY, TAG, ARGS)
	python -m pipeline run --runner docker --registry "$$REGISTRY" --tag "$$TAG" $(if $(BUCKET),--bucket "$$BUCKET") $(ARGS)

sbom: $(VENV)/dev  ## List every locked package of each image with its hashes in output/sbom/*.cdx.json
	python -m pipeline images sbom --tf-variant "$$TF_VARIANT" $(if $(SIGNING),--signing)

submit: needs-env $(VENV)/submit  ## Run the pipeline on a platform (ENV=NAME, ARGS="--wait -p epochs=3" or "--dry-run")
	python -m pipeline submit --env "$$ENV" $(ARGS)

schedule: needs-env $(VENV)/submit  ## Make the platform hold the schedules of pipeline/schedules (ENV=NAME)
	python -m pipeline schedule apply --env "$$ENV" $(ARGS)

needs-env:
	@test -n "$$ENV" || { echo "error: ENV=NAME is missing; python -m pipeline env list names them" >&2; exit 2; }

test: $(VENV)/dev  ## Run all tests but the notebook's
	python -m pytest -m "not notebook" -n $(TEST_WORKERS) --dist worksteal $(ARGS)

test-notebook: $(VENV)/dev  ## Train the notebook's four cells at full length and compare with what it printed
	python -m pytest -m notebook -s $(ARGS)

test-kills: $(VENV)/dev  ## Kill publishers at every boundary and trainers anywhere; prints what came of it
	python -m tests.sweeps.publish_sweep
	python -m tests.sweeps.batch_sweep
	python -m tests.sweeps.training_sweep

demo-retraining: $(VENV)/local  ## Four nights on this machine: a model, new digits, nothing new, wrong labels
	python -m pipeline demo-retraining $(ARGS)

bench: $(VENV)/dev  ## Measure, print ratios, write output/bench.json (ARGS="--only training --rounds 3")
	python -m tests.benchmarks $(ARGS)

check: $(VENV)/dev $(ACTIONLINT)  ## Lint, types, workflows and freshness of the locks; changes no file
	ruff check .
	ruff format --check .
	mypy
	$(if $(ACTIONLINT),actionlint,@echo "no Go here: actionlint did not check .github/workflows" >&2)
	requirements/lock.sh --check

fix: $(VENV)/dev  ## Format, mend what ruff can, refresh the locks
	ruff check --fix .
	ruff format .
	requirements/lock.sh

compile: $(VENV)/local  ## Compile the DAG to output/compiled/*.yaml for Kubeflow Pipelines and Vertex AI
	python -m pipeline compile $(ARGS)

golden: $(VENV)/dev  ## Write the compiled pipelines that the tests compare with, on purpose
	python -m tests.golden

clean:  ## Remove .venv and output
	rm -rf $(VENV) output *.egg-info

$(VENV)/uv: requirements/uv.txt
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info[:2] not in {(3, 11), (3, 12), (3, 13)})' || \
		{ echo "error: $(PYTHON) is $$("$(PYTHON)" --version 2>&1); make PYTHON=… with Python 3.11 to 3.13" >&2; exit 2; }
	"$(PYTHON)" -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --only-binary :all: --require-hashes --requirement $<
	@touch $@

$(BIN)/actionlint: requirements/actionlint/go.sum $(VENV)/uv
	cd $(<D) && GOFLAGS=-mod=readonly GOBIN="$(CURDIR)/$(BIN)" go install tool
	@touch $@

$(VENV)/local: requirements/local.txt pyproject.toml $(VENV)/uv
	$(INSTALL) $<
	$(INSTALL_PROJECT)
	@touch $@

$(VENV)/submit: requirements/submit.txt $(VENV)/local
	$(INSTALL) $<
	@touch $@

$(VENV)/dev: requirements/dev.txt $(VENV)/local
	$(INSTALL) $<
	@touch $@

.PHONY: help setup run images push run-docker sbom submit schedule needs-env test test-notebook test-kills demo-retraining bench check fix compile golden clean
