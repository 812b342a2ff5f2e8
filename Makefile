# Every part of the exercise is one target; each sets up what it needs. `make help` lists them.

PYTHON ?= python3.11
VENV := .venv
RUN := $(VENV)/bin/python
SETUP := $(VENV)/.ready

# What a part is told, where the variable is set: make nce WEIGHTS=per_edge OPTIMIZER=sgd ARGS="--noise fixed"
DATA_OPTIONS = $(if $(DATASET),--dataset "$(DATASET)") $(if $(IDX_DIR),--idx-dir "$(IDX_DIR)")
OPTIONS = $(DATA_OPTIONS) $(if $(CONNECTIVITY),--connectivity "$(CONNECTIVITY)") $(if $(WEIGHTS),--weights "$(WEIGHTS)") \
  $(if $(OPTIMIZER),--optimizer "$(OPTIMIZER)") $(if $(SEED),--seed "$(SEED)") $(if $(OUTPUT),--output "$(OUTPUT)") $(ARGS)

.PHONY: help setup data nce cnce sm second ml bonus8 report bench grade grade-all gradescope test clean
.DEFAULT_GOAL := help

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(SETUP) ## set up .venv and install the packages, nothing else

$(SETUP): requirements.txt
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 is needed: install it, or name it: make PYTHON=/path/to/python3.11 …"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

data: $(SETUP) ## fetch and prepare the data set
	$(RUN) -m assignment data $(DATA_OPTIONS) $(ARGS)

nce: $(SETUP) ## NCE with the hand-out's fixed noise and telescoped, side by side
	$(RUN) -m assignment nce $(OPTIONS)

cnce: $(SETUP) ## conditional NCE, with isotropic and with matched noise
	$(RUN) -m assignment cnce $(OPTIONS)

sm: $(SETUP) ## score matching, plain and preconditioned
	$(RUN) -m assignment sm $(OPTIONS)

second: $(SETUP) ## flip the coin, then run cnce or sm (ARGS="--coin-seed 1234")
	$(RUN) -m assignment second $(OPTIONS)

bonus8: $(SETUP) ## everything again with 8-connected neighbours
	$(RUN) -m assignment bonus8 $(OPTIONS)

report: $(SETUP) ## reports/report.pdf from the results; fits what is missing
	$(RUN) -m assignment report $(OPTIONS)

bench: $(SETUP) ## time and memory by size, against the dense way
	$(RUN) -m assignment bench $(if $(OUTPUT),--output "$(OUTPUT)") $(ARGS)

ml: $(SETUP) ## exact maximum likelihood, the yardstick
	$(RUN) -m assignment ml $(OPTIONS)

test: $(SETUP) ## run the tests
	$(RUN) -m pytest --numprocesses 2 --dist worksteal $(ARGS)

grade: $(SETUP) ## grade this package, or SUBMISSION=folder
	$(RUN) -m pytest tests/grading $(if $(SUBMISSION),--submission "$(SUBMISSION)") $(ARGS) || test $$? -eq 1

grade-all: $(SETUP) ## grade every folder in SUBMISSIONS=folder into grades.csv; goes on where it stopped
	$(RUN) tests/grading/grade_all.py "$(SUBMISSIONS)" grades.csv $(ARGS)

gradescope: $(SETUP) ## zip the autograder for Gradescope
	$(RUN) tests/grading/gradescope/pack.py autograder.zip

clean: ## remove what was generated: results, figures, tables (data and .venv stay)
	rm -rf reports/results reports/figures reports/tables
	find reports -maxdepth 1 -name 'report.*' ! -name report.tex -delete; rm -f reports/numbers.tex
