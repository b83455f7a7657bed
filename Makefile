# Everything a newcomer needs: `make demo` runs the main job on real input, `make test` passes the tests.
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo demo-web demo-pretrain test test-llama check format docs clean

demo: $(READY)
	$(BIN)/pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --dest demo/packages --requirement recipes/demo-packages.txt
	$(BIN)/codemill run recipes/code.toml

# HTML of packages, packed as a crawler would have stored it. Where apt is, manuals without code are among them.
demo-web: $(READY)
	$(BIN)/pip download --quiet --disable-pip-version-check --no-deps --dest demo-web/packages --requirement recipes/demo-web-packages.txt
	mkdir -p demo-web/manuals
	@if command -v apt-get dpkg >/dev/null; then \
	  (cd demo-web/manuals && apt-get download -q debian-faq installation-guide-amd64 && for deb in *.deb; do dpkg -x "$$deb" .; done) \
	  || echo "demo-web: no manuals: apt-get could not download them (apt-get update may help)"; fi
	$(BIN)/python -m codemill.web.pack demo-web/pages.warc.gz demo-web/packages/* demo-web/manuals
	$(BIN)/codemill run recipes/web.toml
	$(BIN)/codemill propose recipes/web.toml

# Files, pages, this clone's own history and a high-quality set to packed shards for both phases of training.
demo-pretrain: demo demo-web
	$(BIN)/codemill run recipes/demo-commits.toml
	$(BIN)/codemill highquality recipes/highquality.toml
	$(BIN)/codemill run recipes/pretrain.toml

test: $(READY)
	$(BIN)/python -m pytest

# The llama backend: installs PyTorch and Transformers.
test-llama: $(READY)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev,llama]'
	$(BIN)/python -m pytest tests/quality/test_llama.py

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(READY)
	$(BIN)/python -m codemill.docs

clean:
	rm -rf demo demo-web demo-commits demo-pretrain build dist $(VENV)

# Debian and Ubuntu split ensurepip off into python3-venv: install it where we may, else say so.
$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "codemill: Python: expected 3.11 or newer, got $$($(PYTHON) --version)"; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { [ "$$(id -u)" = 0 ] && apt-get update -q && apt-get install -qy python3-venv; } || { echo "codemill: expected Python's venv module, got none: apt-get install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev,ray,train,fasttext,tokenizers]'
	@touch $@
