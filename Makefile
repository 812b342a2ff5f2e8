# Every part of the exercise is one target; each sets up what it needs. `make help` lists them.

# PYTHON names the Python of a new .venv; unset, it is the first of these that is 3.11, 3.12 or 3.13.
PYTHONS = $(if $(PYTHON),"$(PYTHON)",python3.11 python3.12 python3.13 python3 python)
VENV := .venv
RUN := $(VENV)/bin/python
SETUP := $(VENV)/.ready

# What a part is told, where the variable is set: make nce WEIGHTS=per_edge OPTIMIZER=sgd ARGS="--noise fixed"
option = $(if $($(1)),--$(2) "$($(1))")
DATA_OPTIONS = $(call option,DATASET,dataset) $(call option,IDX_DIR,idx-dir) $(call option,IMAGES,images) \
  $(call option,PATCH,patch) $(call option,SEED,seed)
OPTIONS = $(DATA_OPTIONS) $(call option,CONNECTIVITY,connectivity) $(call option,WEIGHTS,weights) \
  $(call option,OPTIMIZER,optimizer) $(call option,OUTPUT,output) $(ARGS)

.PHONY: help setup data nce cnce sm second ml bonus8 report bench test quick lint grade grade-all gradescope student-kit clean
.DEFAULT_GOAL := help

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(SETUP) ## set up .venv and install the packages, nothing else

# Made again, from nothing, whenever the requirements have changed.
$(SETUP): requirements.txt
	@for python in $(PYTHONS); do \
	  if "$$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then \
	    "$$python" -m venv --clear $(VENV); exit; \
	  fi; \
	done; \
	echo "Python 3.11, 3.12 or 3.13 is needed: install one, or name it: make PYTHON=/path/to/python3.12 …" >&2; exit 2
	$(RUN) -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

data: $(SETUP) ## fetch and prepare the data set
	$(RUN) -m assignment data $(DATA_OPTIONS) $(ARGS)

nce: $(SETUP) ## NCE with fixed noise and telescoped, side by side
	$(RUN) -m assignment nce $(OPTIONS)

cnce: $(SETUP) ## conditional NCE, with isotropic and with matched noise
	$(RUN) -m assignment cnce $(OPTIONS)

sm: $(SETUP) ## score matching, plain and preconditioned
	$(RUN) -m assignment sm $(OPTIONS)

second: $(SETUP) ## flip the coin, then run cnce or sm (ARGS="--coin-seed 1234")
	$(RUN) -m assignment second $(OPTIONS)

ml: $(SETUP) ## exact maximum likelihood, the yardstick
	$(RUN) -m assignment ml $(OPTIONS)

bonus8: $(SETUP) ## everything again with 8-connected neighbours
	$(RUN) -m assignment bonus8 $(OPTIONS)

report: $(SETUP) ## reports/report.pdf from the results; fits what is missing
	$(RUN) -m assignment report $(OPTIONS)

bench: $(SETUP) ## time and memory by size, against the dense way
	$(RUN) -m assignment bench $(call option,OUTPUT,output) $(ARGS)

test: $(SETUP) ## run the tests
	$(RUN) -m pytest --numprocesses 2 --dist worksteal $(ARGS)

quick: $(SETUP) ## run the tests, but for the slow ones
	$(RUN) -m pytest --numprocesses 2 --dist worksteal -m "not slow" $(ARGS)

lint: $(SETUP) ## check the code's form
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .

grade: $(SETUP) ## grade this package, or SUBMISSION=folder
	OPENBLAS_NUM_THREADS=1 PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 $(RUN) -m pytest tests/grading $(call option,SUBMISSION,submission) $(ARGS) || test $$? -eq 1

grade-all: $(SETUP) ## grade every folder in SUBMISSIONS=folder into grades.csv; goes on where it stopped
	$(RUN) tests/grading/grade_all.py "$(SUBMISSIONS)" grades.csv $(call option,JOBS,jobs) $(call option,REGRADE,regrade) $(ARGS)

gradescope: $(SETUP) ## zip the autograder for Gradescope
	$(RUN) tests/grading/gradescope/pack.py autograder.zip $(VISIBILITY)

student-kit: $(SETUP) ## zip what students are given
	$(RUN) tests/grading/kit/make.py student-kit.zip

clean: ## remove what was generated: results, figures, tables (data and .venv stay)
	rm -rf reports/results reports/figures reports/tables
	find reports -maxdepth 1 -name 'report.*' ! -name report.tex -delete; rm -f reports/numbers.tex
