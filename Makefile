# Everything runs from .venv; the stamp files make each step happen once per change of the lock.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# Where no bytecode is kept each process compiles everything, and the tests start many.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: run run-local nodes demo-crash test test-clients test-frontends thorough chaos test-local-model test-model-servers bench bench-nodes profile overload story figures check audit format lock clean

run: $(VENV)/.runtime
	$(BIN)/dungeon-master serve

# The same with a small language model of its own, installed into an environment of its own.
run-local: $(VENV)/.runtime
	$(BIN)/python -m tools.run_local

# The services of deploy/compose.yaml as plain processes. NODES="--port 8081".
nodes: $(VENV)/.dev
	$(BIN)/python -m tools.nodes $(NODES)

# Kills a server in mid-turn, twice, and shows what its reader and journey-log see of it.
demo-crash: $(VENV)/.runtime
	$(BIN)/python -m tools.demo_crash

test: $(VENV)/.dev
	$(BIN)/pytest

# Published clients of the dialects, from npm: needs Node 20 or newer. CLIENTS="--cuts 5 --only openai".
test-clients: $(VENV)/.dev
	$(BIN)/python tests/clients/run.py $(CLIENTS)

# Open WebUI and SillyTavern themselves, in Chromium: needs Node, npm and 8 GB of disk, and is no part of CI.
# FRONTENDS="--only silly_tavern --pictures FOLDER".
test-frontends: $(VENV)/.dev
	PYTHONPATH=. $(BIN)/python tests/front_ends/front_ends_run.py $(FRONTENDS)

# The same with 40 times as many examples of each property, new ones each time.
thorough: $(VENV)/.dev
	HYPOTHESIS_PROFILE=thorough $(BIN)/pytest --timeout=3600

chaos: $(VENV)/.dev
	$(BIN)/python tests/chaos/chaos_run.py
	$(BIN)/python tests/chaos/chaos_nodes.py

# Turns, chat and content with a real language model of 135 million parameters and with random weights, on
# llama.cpp in the cache folder. LOCAL="--only random --turns 3" and the like; --help lists them.
test-local-model: $(VENV)/.dev
	PYTHONPATH=. $(BIN)/python tests/local_model/local_model_run.py $(LOCAL)

# Installs llama-cpp-python and LiteLLM (building llama.cpp takes minutes) and plays against both; no part
# of `make test`. SERVERS="--turns 3 --only litellm" and the like; --help lists them.
test-model-servers: $(VENV)/.dev
	PYTHONPATH=. $(BIN)/python tests/model_servers/server_run.py $(SERVERS)

# BENCH="--only paced:32,burst:32 --rounds 1" and the like measure a part; --help lists them.
bench: $(VENV)/.dev
	$(BIN)/python -m bench $(BENCH)

# Several nodes on PostgreSQL and Redis, which it starts: some six minutes. BENCH="--only burst --rounds 1".
bench-nodes: $(VENV)/.dev
	$(BIN)/python -m bench.nodes $(BENCH)

# PROFILE="--only burst --top 60" and the like.
profile: $(VENV)/.dev
	$(BIN)/python -m bench.profile $(PROFILE)

# OVERLOAD="--seconds 30 --streams 500" and the like change the proof.
overload: $(VENV)/.dev
	$(BIN)/python -m bench.overload $(OVERLOAD)

# Two hundred games of scripted players with the offline storyteller: what repeats, and how quests and fights end.
story: $(VENV)/.dev
	PYTHONPATH=tests $(BIN)/python tests/story_games.py $(GAMES)

# FIGURES=--max fails when one is past its limit.
figures: $(VENV)/.dev
	$(BIN)/python tools/figures.py $(FIGURES)

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python tools/audit.py --offline-ok $(AUDIT)

# Fails where OSV cannot be reached, too. AUDIT="--ignore-vuln ID" accepts a vulnerability.
audit: $(VENV)/.dev
	$(BIN)/python tools/audit.py $(AUDIT)

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; name it with: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
	  { echo "This Python cannot create virtual environments; on Debian or Ubuntu: apt install $$($(PYTHON) -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: requirements.lock pyproject.toml | $(BIN)/python
	@echo "Installing what the service needs into $(VENV); this takes about a minute."
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.runtime
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@

# The locks hold exact versions and hashes for every supported Python and platform, and no address.
lock:
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet \
	  --extra build pyproject.toml -o requirements.lock
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet \
	  --extra build --extra dev pyproject.toml -o requirements-dev.lock

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis
