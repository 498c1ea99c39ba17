# tutorloop: every target does its own set-up.
.PHONY: setup quickstart test test-fast test-busy check soak clean

setup:            ## virtual environment, locked requirements, embedded model
	@sh tools/setup.sh

quickstart: setup ## one round of the closed loop on the embedded model
	@.venv/bin/tutorloop loop configs/quickstart.yaml

check: setup      ## ruff and mypy
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy
	@MYPYPATH=tests/trainers:tests/sim .venv/bin/mypy tests

test: setup       ## the whole suite, real model included, and all of `make check` (the types as a test)
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/python -m pytest -n 2

test-fast: setup  ## while working: all that starts no Ray, engine or browser and computes no long time
	@.venv/bin/ruff check .
	@.venv/bin/python -m pytest -n 2 -m "not slow and not long"

test-busy: setup  ## the slow tests three times beside two busy loops: none may pass or fail by the clock
	@.venv/bin/python tools/busy.py --loops 2 --times 3 -- .venv/bin/python -m pytest -n 2 -m slow

soak: setup       ## long: thousands of real dialogues, and 140,000 without a model, while things die
	@.venv/bin/python benchmarks/soak.py --kind scripted --dialogues 100000 --chaos 30 --json runs/soak-scripted.json
	@.venv/bin/python benchmarks/soak.py --kind scripted --dialogues 20000 --full-disk 10 --json runs/soak-full-disk.json
	@.venv/bin/python benchmarks/soak_cluster.py --dialogues 20000 --json runs/soak-cluster.json
	@.venv/bin/python benchmarks/soak.py --kind real --dialogues 2000 --chaos 120 --json runs/soak-real.json

clean:            ## what can be made again (not runs/)
	rm -rf .venv build *.egg-info .mypy_cache .pytest_cache .ruff_cache
