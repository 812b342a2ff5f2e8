"""The report's numbers: every fact by one macro, what is missing visibly so, and nothing measured typed by hand."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from result_files import arrays, record, write_fit

from assignment.exercise.plan import plan
from assignment.exercise.record import fit_name_for, request
from assignment.exercise.settings import Settings
from assignment.reporting.figures import draw_part
from assignment.reporting.latex import escape, number
from assignment.reporting.macros import FORMATS, facts, write_numbers
from assignment.reporting.tables import errata_table, noise_table, read_beside, write_appendix
from assignment.results import fit_name, load_results, save_fit

REPORT = Path(__file__).parents[1] / "reports" / "report.tex"
ERRATUM = dict(where="$J$", as_written="$-1$", correct="$+1$", reference="definition", ours=2e-16, theirs=0.5)
ANSWERS = "forms_differ curl_shared_4 curl_per_edge_4 curl_shared_8 curl_by_differences trace logarithm jacobian"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """results/<data set> with every fit that the report speaks of, and a derivation beside it."""
    root = tmp_path_factory.mktemp("reports") / "results" / "mnist"
    more = dict(confused=0.02, final_loss=0.09, closed_form_min_eigenvalue=-2.0, suboptimality=0.004)
    more |= dict(settings=dict(stage_spread=1.5, noise_spread=0.05, reach=0.75, passes=4))
    for row, part, asked in plan("report", Settings()):
        kind = row.name, row.variant, asked.weights, asked.connectivity
        coin = {"coin": {"seed": 7, "outcome": "heads"}} if part == "second" else {}
        facts = record(*kind, part, optimizer=asked.optimizer, request=request(asked), **more, **coin)
        save_fit(root / part, fit_name_for(row, asked), facts, arrays(*kind))
    derivation = {"answers": dict.fromkeys(ANSWERS.split(), 3.21e-11), "errata": []}
    (root.parent / "derivation.json").write_text(json.dumps(derivation))
    case = dict(seconds=0.5, weights=2296, condition=7.6e4, whitened_condition=1.7)
    newton = {"dense": {"28": case}, "sparse": {"28": case, "128": case}}
    (root.parent / "bench.json").write_text(json.dumps({"newton": newton}))
    return root


def all_facts(root):
    return facts(load_results(root), *(read_beside(root, name) for name in ("derivation", "bench")))


def body():
    text = re.sub(r"(?<!\\)%.*", "", REPORT.read_text(encoding="utf-8"))
    return text[text.index(r"\begin{document}") :]


def asked(text):
    """Every (fit, fact, format) of the text, those within its own row macros for each of their fits."""
    for name, row in re.findall(r"\\newcommand\{\\(\w+)\}\[1\]\{((?:[^{}]|\{[^{}]*\})+)\}", text):
        for fit in re.findall(rf"\\{name}\{{([\w-]+)\}}", text):
            yield from asked(row.replace("#1", fit))
    yield from (found for found in re.findall(r"\\fact\s*\{(.+?)\}\{(.+?)\}\{(.+?)\}", text) if "#" not in found[0])


def test_every_number_of_the_report_is_there_when_all_is_fitted(root):
    found, used = all_facts(root), set(asked(body()))
    assert len(used) > 100
    assert not [use for use in used if use[:2] not in found]
    assert {use for use in used if use[2] not in FORMATS} == {use for use in used if isinstance(found[use[:2]], str)}


def test_the_report_has_no_typed_results():
    text = body().split(r"\begin{thebibliography}")[0] + body().split(r"\end{thebibliography}")[1]
    text = re.sub(r"\\cite[pt]\{\w+\}|\\fact\s*\{.+?\}\{.+?\}|--[\w-]+ [\d.]+|[\d.]+(\\linewidth|pt|cm|em)", "", text)
    assert not re.findall(r"\d+\.\d+", text)
    # A hundred is the bound that noise of variance 1/100 sets; SHA-256 is a name; longer numbers would be results.
    assert set(re.findall(r"\d{3,}", text)) == {"100", "256"}


def test_facts_are_found_by_the_keys_of_the_files_and_a_new_one_needs_no_new_code(root, tmp_path):
    found, fit = all_facts(root), "nce-telescoped-shared-4"
    expected = {
        (fit, "log_partition.estimate"): -5.0,
        (fit, "held_out.gap"): 0.5,
        (fit, "stencil.couplings.1"): -1.1,
        (fit, "stage_spread.size"): 7,
        (fit, "standard_errors"): 1.25,
        (fit, "dominance"): 0.3,
        ("ml-shared-4", "max_eigenvalue"): 4.5 + 4.2 * np.cos(np.pi / 7),  # the sine transform's
        ("data", "pixels"): 36,
        ("data", "weights.4"): 96,
        ("gain-ml-shared-8", "mean"): 4.0,
        ("derivation", "trace"): 3.21e-11,
        ("bench", "sparse.128.weights"): 2296,
        ("seconds", "second"): 2.5,
        ("coin", "seed"): 7,
        # The coin's two fits stand in the estimator's own part, too.
        ("seconds", "total"): 1.25 * (len(plan("report", Settings())) - 2),
    }
    assert {key: found[key] for key in expected} == pytest.approx(expected)
    assert found["coin", "outcome"] == "heads" and found[fit, "status"] == "converged"
    assert facts([write_fit(tmp_path, surprise={"nested": [1.0, 2.5]})])[fit, "surprise.nested.1"] == 2.5


def test_a_fact_is_printed_in_every_format(root, tmp_path):
    text = write_numbers(root, tmp_path).read_text(encoding="utf-8")
    printed = ["-1.10", "-1.100", "1.100", "1.100", "-1.1", "-1", r"-1.1\cdot 10^{2}"]
    printed = "".join(rf"{{\ensuremath{{{number}}}}}" for number in printed)
    line = r"\definenumber{nce-telescoped-shared-4}{stencil.couplings.1}" + printed
    assert line in text.replace(" nats above", "")
    assert r"\definewords{coin}{outcome}{heads}" in text


def test_a_report_of_another_seed_speaks_of_its_fits(tmp_path):
    for seed, loss in ((0, 1.0), (3, 2.0)):
        facts = record(variant="fixed", seed=seed, final_loss=loss, learned=-5.0 - loss)
        save_fit(tmp_path / "nce", fit_name("nce", "fixed", "shared", 4, seed=seed), facts, arrays(variant="fixed"))
    for seed, suffix, loss, c, other in ((0, "", "1", "-6.00", "-7.00"), (3, "-seed3", "2", "-7.00", "-6.00")):
        text = write_numbers(tmp_path, tmp_path, seed).read_text()
        assert f"\\newcommand{{\\seedsuffix}}{{{suffix}}}" in text
        (line,) = re.findall(r"\\definenumber\{(.*?)\}\{final_loss\}\{\\ensuremath\{(\d)", text)
        assert line == ("nce-fixed-shared-4", loss)
        write_appendix(tmp_path, tmp_path, seed)
        tables = (tmp_path / "tables" / "noise.tex").read_text()
        assert c in tables and other not in tables


@pytest.mark.parametrize(
    ("name", "fallback", "loss", "true"),
    [
        ("mnist", False, 1e-6, {"mnist", "separates", "fixedfails"}),
        ("mnist_sample", True, 1e-6, {"mnist", "fallback", "separates", "fixedfails"}),
        ("textures", False, 1.7, {"fixedfails"}),  # A fit that ended on the border has failed for another reason.
    ],
)
def test_digits_and_vanished_gradients_are_spoken_of_only_where_they_are(tmp_path, name, fallback, loss, true):
    dataset = dict(name=name, source="made up", images=100, sha256="0", fallback=fallback)
    write_fit(tmp_path / name, variant="fixed", status="failed: off", final_loss=loss, dataset=dataset)
    text = write_numbers(tmp_path / name, tmp_path).read_text()
    assert set(re.findall(r"\\(\w+)true", text)) == true
    outside = re.sub(r"\\ifmnist.*?\\fi", "", body(), flags=re.DOTALL)
    assert not re.search(r"digit|stroke|MNIST|\bink\b|black", outside)


def test_numbers_and_words_in_latex():
    printed = {
        "-1.5": r"\ensuremath{-1.5}",
        "2e-05": r"\ensuremath{2\cdot 10^{-5}}",
        "0.1 nats below": r"\ensuremath{0.1} nats below",
        "60\u2009000": r"\ensuremath{60\,000}",
        "–": "--",
    }
    assert {text: number(text) for text in printed} == printed
    assert escape("per_edge 50% & λ_min \\ −1") == r"per\_edge 50\% \& $\lambda$\_min \textbackslash{} $-$1"
    assert escape("Gräser 草") == "Gräser ?"


def test_errata_are_tabulated_under_what_they_are_held_to():
    table = errata_table([ERRATUM, ERRATUM, ERRATUM | {"reference": "finite differences", "theirs": None}])
    assert table.count("Relative deviation from the definition") == 1
    assert table.count("Relative deviation from the finite differences") == 1
    assert "overflow" in table and r"$J$ & $-1$ & $+1$ & \ensuremath{2\cdot 10^{-16}} & \ensuremath{0.5}" in table


def test_fixed_noises_are_tabulated(tmp_path):
    request = {"noise_variance": "per_pixel", "noise_scale": 4.0, "eta": 0.25}
    table = noise_table([write_fit(tmp_path, variant="fixed", request=request)])
    assert r"per-pixel variances $\times$ 4 & \ensuremath{0.25}" in table
    assert r"\ensuremath{-5.00} & \ensuremath{0.100} & \ensuremath{0.500}" in table


@pytest.mark.skipif(not shutil.which("latexmk"), reason="needs LaTeX")
@pytest.mark.parametrize("with_results", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_the_report_is_typeset_with_and_without_results(root, tmp_path, with_results):
    results = root if with_results else tmp_path / "results" / "mnist"
    draw_part("nce", results, tmp_path, only=["nce-log-ratios-nce-fixed-shared-4"])
    write_appendix(results, tmp_path)
    write_numbers(results, tmp_path)
    shutil.copy(REPORT, tmp_path)
    command = ["latexmk", "-norc", "-pdf", "-interaction=nonstopmode", "-halt-on-error", "report.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0, done.stdout[-2000:]
    log = (tmp_path / "report.log").read_text(encoding="utf-8", errors="replace")
    assert "There were undefined references" not in log
    wide = [float(points) for points in re.findall(r"Overfull \\hbox \(([\d.]+)pt", log)]
    assert max(wide, default=0) < 3
