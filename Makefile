# `make help` lists what there is. Nothing is written outside this folder; no root, no ROS needed.

SHELL := /bin/bash
.DEFAULT_GOAL := build
.DELETE_ON_ERROR:
.NOTPARALLEL:

# A ROS 2 that is already sourced is used as it is; otherwise ROS 2 comes as wheels.
export ROS := $(if $(and $(ROS_DISTRO),$(AMENT_PREFIX_PATH)),sourced,wheels)

# Wheels of another distribution have an environment of their own.
export DISTRO ?= jazzy
export VENV := .venv$(if $(filter-out jazzy,$(DISTRO)),-$(DISTRO))

BIN := $(VENV)/bin
STAMPS := $(VENV)/.stamps
RUN := $(if $(filter sourced,$(ROS)),. $(VENV)/local_setup.sh &&)
TEST_WORKERS ?= 2

.PHONY: build demo test lint format docs lock render-deps clean help

build: $(STAMPS)/compiled ## set up .venv (.venv-kilted) and build the package into it (the default)

$(STAMPS)/created-$(ROS):
	@scripts/environment.sh create
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/dependencies: $(STAMPS)/created-$(ROS) pyproject.toml constraints.txt $(wildcard scripts/$(DISTRO).txt)
	@scripts/environment.sh dependencies
	@touch $@

# Python sources, configuration and launch files are linked: only these, and new files, need a new build.
$(STAMPS)/built: CMakeLists.txt package.xml scripts/program.in constraints.txt $(wildcard msg/*.msg srv/*.srv) config config/robot_cell foxglove launch nav2 rviz | $(STAMPS)/dependencies
	@scripts/environment.sh build
	@touch $@

$(STAMPS)/compiled: $(STAMPS)/dependencies scripts/compile_imports.py | $(STAMPS)/built
	@$(RUN) scripts/environment.sh compile
	@touch $@
	@echo "[ovseg_ros] Ready. Try: make demo, or $(BIN)/ovseg --help"

demo: build ## segment the robot cell for about a minute, with a report in out/demo
	@echo "[ovseg_ros] Running the demo into out/demo"
	@$(RUN) $(BIN)/ovseg demo --out out/demo

test: build lint ## every check and the whole test suite
	@echo "[ovseg_ros] Running the tests"
	@$(RUN) $(BIN)/pytest -n $(TEST_WORKERS) test

lint: build ## ruff, mypy on the core, codespell
	@echo "[ovseg_ros] Checking style (ruff), types (mypy) and spelling (codespell)"
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/codespell

format: build ## let ruff fix what it can
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

docs: build ## write docs/nodes from the configuration
	@$(BIN)/python scripts/node_pages.py

render-deps: build ## add pybullet, which only rendering new robot cell images needs
	@echo "[ovseg_ros] Installing pybullet"
	@uv="$$(command -v $(BIN)/uv || echo uv)"; "$$uv" pip install --quiet --python $(BIN)/python --constraint constraints.txt pybullet

lock: build ## resolve constraints.txt anew for every supported Python
	@scripts/lock.sh

clean: ## remove .venv and everything that was built or written
	@echo "[ovseg_ros] Removing .venv, build, out and caches"
	@rm -rf .venv .venv-* build install log out .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
	@find ovseg_ros test launch scripts -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14
	@echo "DISTRO=kilted takes the wheels of ROS 2 Kilted, e.g. make test DISTRO=kilted"
	@echo "PYTHON=...    chooses the interpreter (3.10, 3.11 or 3.12) when .venv is made"
