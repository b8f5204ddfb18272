.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PROTOS := $(shell find protos/memos_api -name '*.proto')

.PHONY: help setup up demo test lint format protos release readme conformance chaos soak k8s k8s-run bench bench-scale bench-retrieval supersession bench-rpc bench-serve bench-kv kv-eval lora-eval tiny-model tiny-model-eval clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | sort | awk -F'\t' '{printf "%-18s %s\n", $$1, $$2}'

setup: $(READY) ## Make the virtual environment .venv with everything in it

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

up: $(READY) ## Start all six services in one process
	$(BIN)/memosctl up

demo: $(READY) ## Start, store a conversation, ask ten questions, show where the answers come from, stop
	$(BIN)/memosctl demo

test: $(READY) ## Run every test
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder

lint: $(READY) ## Check style, types, import rules and the contract
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy services/memos_* services/memosctl clients/python/memos_client
	$(BIN)/lint-imports
	$(BIN)/buf lint protos
	$(BIN)/buf format --diff --exit-code protos
	$(BIN)/python protos/generate.py --check
	$(BIN)/python tests/support/readme.py --check

format: $(READY) ## Format Python and the contract
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/buf format --write protos

release: $(READY) ## Keep the contract, and messages of its clients, under the version of pyproject.toml
	$(BIN)/buf build protos --exclude-source-info --output protos/released/$$($(BIN)/python -c \
	    "import tomllib; print(tomllib.load(open('pyproject.toml', 'rb'))['project']['version'])").binpb
	$(BIN)/python tests/support/golden.py

protos: $(READY) ## Generate the Python code of the contract
	$(BIN)/python protos/generate.py

readme: $(READY) ## Write the tables of README.md that come from the code
	$(BIN)/python tests/support/readme.py

conformance: $(READY) ## Run the conformance suite of grafomem against a system that is started for it
	PYTHONPATH=tests/support $(BIN)/python tests/conformance/grafomem_run.py $(ARGS)

chaos: $(READY) ## Kill parts of a running system 300 times, and look for what was acknowledged (ARGS=--cycles=N)
	PYTHONPATH=tests/support $(BIN)/python tests/chaos/chaos_run.py $(ARGS)

bench-scale: $(READY) ## Measure import and search up to a million cubes on real servers; write JSON and a plot to dist (ARGS="--cubes N")
	PYTHONPATH=tests/support $(BIN)/python tests/perf/bench_scale.py $(ARGS)

bench: $(READY) ## Measure add, search and chat; print JSON (ARGS=--mem0 adds the baseline)
	PYTHONPATH=tests/support $(BIN)/python tests/perf/bench.py $(ARGS)

bench-retrieval: $(READY) ## Measure how much of the evidence a search brings back; data by MEMOS_EVAL_DATA (ARGS="--ablations --budgets")
	PYTHONPATH=tests/support $(BIN)/python tests/perf/bench_retrieval.py $(ARGS)

supersession: $(READY) ## Examine how it is noticed that a statement makes another untrue (ARGS=--train trains that anew)
	PYTHONPATH=tests/support $(BIN)/python tests/perf/supersession.py $(ARGS)

k8s: $(READY) ## Render every overlay with its components, and check what comes out
	$(BIN)/pytest tests/k8s/test_manifests.py tests/k8s/test_images.py

k8s-run: $(READY) ## Run the overlay for trials, each container in a network namespace of its own (root)
	$(BIN)/pytest tests/k8s/test_running.py

soak: $(READY) ## Two replicas of each service under fire, ten minutes (root; ARGS="--minutes 3 --python-only"); JSON and a plot in dist
	$(BIN)/python tests/soak/soak_run.py $(ARGS)

bench-rpc: $(READY) ## Measure calls a second, latency and processor time of a call, an add and a search (ARGS="--seconds 2")
	PYTHONPATH=tests/perf:tests/support $(BIN)/python tests/perf/bench_rpc.py $(ARGS)

bench-serve: $(READY) ## Measure chats side by side against chats one after another (ARGS="--model tiny --json")
	PYTHONPATH=tests/perf $(BIN)/python tests/perf/bench_serve.py $(ARGS)

bench-kv: $(READY) ## Measure the first token with memories as text, and as KV caches on each tier (ARGS="--rounds 5 --json")
	PYTHONPATH=tests/perf:tests/support $(BIN)/python tests/perf/bench_kv.py $(ARGS)

kv-eval: $(READY) ## Compare answers from KV caches with answers from text (ARGS="--questions N")
	$(BIN)/python tests/perf/kv_eval.py $(ARGS)

lora-eval: $(READY) ## Train LoRA adapters on unseen facts and examine them (ARGS="--facts 1 5 20 --seeds 3")
	PYTHONPATH=tests/perf $(BIN)/python tests/perf/lora_eval.py $(ARGS)

tiny-model: $(READY) ## Train the offline default model from scratch (ARGS=--minutes=N sets how long)
	$(BIN)/python -m memos_inference.tiny_model.train $(ARGS)

tiny-model-eval: $(READY) ## Evaluate the offline default model on fresh episodes
	$(BIN)/python -m memos_inference.tiny_model.evaluate $(ARGS)

clean: ## Remove the environment and caches
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
