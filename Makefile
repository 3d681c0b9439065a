# make env | demo | test | test-floors | coverage | mutants | lint | build | bench
# PYTHON chooses the interpreter (3.11 or newer); .venv is made on first use.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
VENV312 := .venv312
VENVFLOORS := .venvfloors
# Real recordings for acceptance tests; the tests that need them skip where there are none.
REALDATA := $(wildcard ../shared/realdata)
export NEURODATA_REALDATA ?= $(if $(REALDATA),$(abspath $(REALDATA)))
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: env demo test test-main test-312 test-floors lint build coverage mutants bench clean

env: $(VENV)/.done

$(VENV)/.done: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed; run: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[all,dev]'
	touch $@

demo: env
	$(BIN)/neurodata demo

test: test-main test-312

test-main: env
	$(BIN)/python -m pytest -n 2 --dist loadfile

# zarr and numpy have releases for 3.12 and newer only: what rests on them runs there too.
TESTS312 := tests/readers $(foreach part,arrays clock exchange format frozen_store ingest layout \
  loader physical remote schema splits steps store,$(wildcard tests/test_$(part)*.py))
PYTHON312 := $(shell for p in python3.12 "$$(ls -d $$(pyenv root 2>/dev/null)/versions/3.12*/bin/python3.12 2>/dev/null | tail -1)"; do \
  "$$p" -c 'import sys; print(sys.executable)' 2>/dev/null && break; done)

test-312:
ifneq ($(PYTHON312),)
	test -x $(VENV312)/bin/python || $(PYTHON312) -m venv $(VENV312)
	test -e $(VENV312)/.done -a ! pyproject.toml -nt $(VENV312)/.done || { \
	  $(VENV312)/bin/python -m pip install --quiet --editable '.[calcium,eeg,ecg,ephys,mri,microscopy,connectome,models,report,hub,remote,flows,dev]' \
	  && touch $(VENV312)/.done; }
	$(VENV312)/bin/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(TESTS312) \
	  -m "not torch and not flows and not slow" -k "not foreign_exception and not flips"
else
	@echo "no Python 3.12 here: its part of the suite was not run"
endif

# The oldest versions that pyproject.toml allows, but for torch, flows and remote; not in `make test`.
# Left out too: comparisons with readers whose old versions are wrong themselves.
TESTSFLOORS := $(filter-out tests/test_remote% tests/test_loader_remote%,$(TESTS312)) tests/test_cli.py
EXTRASFLOORS := calcium spikes eeg ecg ephys mri microscopy connectome models fast report hub nwb anndata
test-floors:
	test -x $(VENVFLOORS)/bin/python || $(PYTHON) -m venv $(VENVFLOORS)
	$(VENVFLOORS)/bin/python -m pip install --quiet uv
	$(VENVFLOORS)/bin/uv pip compile --quiet pyproject.toml --no-emit-index-url \
	  --resolution lowest-direct $(addprefix --extra ,$(EXTRASFLOORS)) -o $(VENVFLOORS)/floors.txt
	$(VENVFLOORS)/bin/python -m pip install --quiet --requirement $(VENVFLOORS)/floors.txt
	$(VENVFLOORS)/bin/python -m pip install --quiet --constraint $(VENVFLOORS)/floors.txt \
	  pytest pytest-xdist hypothesis pyedflib edfio pybv mffpy pylibjpeg-libjpeg
	$(VENVFLOORS)/bin/python -m pip install --quiet --no-deps --editable .
	$(VENVFLOORS)/bin/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(TESTSFLOORS) \
	  -m "not torch and not flows and not slow" \
	  -k "not foreign_exception and not flips and not of_mne and not and_mne and not mgh-u2 and not mgz-u2"

# Branch coverage of the parts that all else rests on, by their own tests; needs some minutes.
RESTS_ON := units privacy dates splits audit safe store arrays layout remote format frozen_store crash forget

coverage: env
	rm -f .coverage .coverage.*
	$(BIN)/coverage run -m pytest -n 2 --dist loadfile --no-loadscope-reorder tests/readers tests/test_steps_fitted.py \
	  tests/faults/test_special_files.py tests/faults/test_verify.py \
	  $(foreach part,$(RESTS_ON),$(wildcard tests/test_$(part)*.py)) \
	  neurodata/units.py neurodata/privacy.py neurodata/splits neurodata/store $(wildcard neurodata/safe*.py)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

# make mutants, or make mutants ONLY=neurodata/units.py LIMIT=100; all of it needs hours
mutants: env
	$(BIN)/python -m tests.mutants $(if $(ONLY),--only $(ONLY)) $(if $(LIMIT),--limit $(LIMIT))

lint: env
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

build: env
	$(BIN)/python -m build --wheel --sdist

# make bench, or make bench QUICK=1; data and peers' environments in $NEURODATA_BENCH, else .bench
bench: env
	$(BIN)/python -m benchmarks setup
	$(BIN)/python -m benchmarks run $(if $(QUICK),--quick)
	$(BIN)/python -m benchmarks report

clean:
	rm -rf $(VENV) $(VENV312) $(VENVFLOORS) dist build
