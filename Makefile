# Everything a fresh machine needs: `make quickstart` and `make test` both create the environment in .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# `make CPU=1 ...` makes an environment without CUDA: torch's CPU build from its own index, and faiss-cpu.
ifdef CPU
BUILDS := --torch-backend cpu --override constraints-cpu.txt
SIZE := less than 2
else
SIZE := about 4
endif

.PHONY: help env quickstart serve test lint results site clean
help:
	@echo "make quickstart   environment, synthetic data, a cohort of two networks, metrics and report.html"
	@echo "make serve        a page on this machine that searches the quickstart's gallery by image"
	@echo "make test         environment and the whole test suite"
	@echo "make lint         ruff and mypy"
	@echo "make results      write docs/performance.md and options.md, and what README.md and docs/results.md, networks.md and search.md show of results/"
	@echo "make site         the documentation as a site: site/index.html"
	@echo "make CPU=1 ...    the same in an environment without CUDA (torch from its own index)"
	@echo "make clean        remove the environment, the quickstart's run and the site"

env: $(READY)

$(READY): pyproject.toml constraints.txt constraints-cpu.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "error: $(PYTHON) is missing or older than Python 3.11; install a newer one, or run: make PYTHON=/path/to/python3.11"; exit 2; }
	@echo "Creating the environment in $(VENV): $(SIZE) GB to fetch, some minutes on a fast line."
	@$(PYTHON) -m venv $(VENV) || \
	  { echo "error: cannot create $(VENV); on Debian and Ubuntu install the package python3-venv"; exit 2; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check "uv==$$(sed -n 's/^uv==//p' constraints.txt)"
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --compile-bytecode $(BUILDS) --constraint constraints.txt --editable ".[dev]"
	@touch $(READY)

quickstart: $(READY)
	@$(BIN)/python tools/train_net.py --config-file configs/quickstart.yml --resume || \
	  { echo "To start the quickstart over: rm -r runs/quickstart && make quickstart"; exit 2; }
	@echo
	@echo "Search its gallery by image, in a browser: make serve"
	@echo "Next: put Market-1501 into datasets/ (see datasets/README.md) and train on it:"
	@echo "  $(BIN)/python tools/train_net.py --config-file configs/market_mobilenet_dml.yml"

serve: $(READY)
	@test -f runs/quickstart.index/manifest.json || $(BIN)/python tools/build_index.py --index runs/quickstart.index \
	  --features runs/quickstart/gallery.npz
	@$(BIN)/python tools/serve.py --run runs/quickstart --gallery runs/quickstart.index

test: $(READY)
	@$(BIN)/python -m pytest --numprocesses logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder

lint: $(READY)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

results: $(READY)
	@$(BIN)/python tools/make_results.py

site: $(READY)
	@$(BIN)/python -m sphinx --fail-on-warning --keep-going -q docs site
	@echo "site/index.html"

clean:
	rm -rf $(VENV) runs/quickstart runs/quickstart.index runs/quickstart.index.images site
