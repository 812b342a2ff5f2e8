"""The report's macros: every one defined whatever the results, and nothing measured typed by hand."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from result_files import write_fit

from assignment.reporting.appendix import noise_table, slips_table, write_appendix
from assignment.reporting.macros import NOT_AVAILABLE, macros, number, write_numbers

REPORT = Path(__file__).parents[1] / "reports" / "report.tex"
# Control words of LaTeX and of the report itself that begin with a capital, as all generated macros do.
LATEX = set("Lambda Sigma Delta Bigl Bigr Var E N T".split())
SLIP = dict(where="$J$", as_written="$-1$", correct="$+1$", reference="definition", ours=2e-16, theirs=0.5)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    root = tmp_path_factory.mktemp("reports") / "results" / "mnist"
    coin = {"status": "converged", "coin": {"seed": 7, "outcome": "heads"}}
    fits = [
        write_fit(root, "nce", "nce", "fixed"),
        write_fit(root, "nce", "nce", "telescoped", learned=-5.02),
        write_fit(root, "bonus8", "nce", "telescoped", connectivity=8),
        write_fit(root, "ml", "ml", None, "per_edge"),
        write_fit(root, "second", "cnce", "matched", history=coin),
    ]
    return root, fits


def body():
    text = REPORT.read_text(encoding="utf-8")
    text = re.sub(r"(?<!\\)%.*", "", text)
    return text[text.index(r"\begin{document}") :]


def test_the_report_uses_no_undefined_macro():
    used = set(re.findall(r"\\([A-Z][A-Za-z]*)", body())) - LATEX
    assert len(used) > 100
    assert not used - macros([]).keys()


def test_the_report_has_no_typed_results():
    text = body().split(r"\begin{thebibliography}")[0] + body().split(r"\end{thebibliography}")[1]
    text = re.sub(r"\\cite[pt]\{\w+\}|[\d.]+(\\linewidth|pt|cm|em)", "", text)
    assert not re.findall(r"\d+\.\d+", text)
    # A hundred is the bound that noise of variance 1/100 sets; longer numbers would be results.
    assert set(re.findall(r"\d{3,}", text)) == {"100"}


def test_names_are_letters_and_do_not_depend_on_the_results(results):
    derivation = {"answers": {"trace": 3e-11}, "slips": []}
    assert list(macros([])) == list(macros(results[1], derivation))
    assert all(re.fullmatch("[A-Za-z]+", name) for name in macros([]))


def test_without_results_every_number_is_visibly_missing():
    empty = macros([])
    assert {name for name, text in empty.items() if text != NOT_AVAILABLE} == {"DataNote"}


def test_numbers_of_a_fit(results):
    found = macros(results[1], {"answers": {"trace": 3.21e-11}})
    assert found["NceTelescopedSharedFourLearned"] == r"\ensuremath{-5.02}"
    assert found["NceTelescopedSharedFourLogGap"] == r"\ensuremath{0.080}"
    assert found["NceTelescopedSharedFourLogSigmas"] == r"\ensuremath{1.0}"
    assert found["NceTelescopedSharedFourDown"] == r"\ensuremath{-1.10}"
    assert found["NceTelescopedSharedFourDominance"] == r"\ensuremath{0.300}"
    assert found["NceTelescopedSharedFourStages"] == r"\ensuremath{7}"
    assert found["NceFixedSharedFourLogError"] == NOT_AVAILABLE
    assert found["NceTelescopedSharedFourSgdLearned"] == NOT_AVAILABLE
    assert found["MlEdgeFourTest"] == r"\ensuremath{19.50}"
    assert (found["Pixels"], found["EdgeWeightsFour"]) == (r"\ensuremath{36}", r"\ensuremath{96}")
    assert found["CoinEstimator"] == "conditional NCE" and found["CoinSeed"] == r"\ensuremath{7}"
    assert found["GainShared"] == r"\ensuremath{4.00}" and found["GainEdge"] == NOT_AVAILABLE
    assert found["SecondsNce"] == r"\ensuremath{2}" and found["SecondsSm"] == NOT_AVAILABLE
    assert found["AnswerTrace"] == r"\ensuremath{3.2\cdot 10^{-11}}"
    assert found["DataNote"] == ""


def test_substitute_data_are_confessed(tmp_path):
    substitute = dict(name="mnist_sample", source="bundled", images=100, sha256="0", fallback=True)
    fit = write_fit(tmp_path, dataset=substitute)
    assert "sample" in macros([fit])["DataNote"]
    assert macros([fit])["DataName"] == r"mnist\_sample"


@pytest.mark.parametrize(
    ("text", "latex"), [("-1.5", "{-1.5}"), ("2e-05", r"{2\cdot 10^{-5}}"), ("1e+03", r"{1\cdot 10^{3}}"), ("–", None)]
)
def test_numbers_in_latex(text, latex):
    assert number(text) == ("--" if latex is None else r"\ensuremath" + latex)


def test_slips_are_tabulated_under_their_judge():
    table = slips_table([SLIP, SLIP, SLIP | {"reference": "finite differences", "theirs": None}])
    assert table.count("Relative deviation from the definition") == 1
    assert table.count("Relative deviation from the finite differences") == 1
    assert "overflow" in table and r"$J$ & $-1$ & $+1$ & \ensuremath{2\cdot 10^{-16}} & \ensuremath{0.5}" in table


def test_fixed_noises_are_tabulated(tmp_path):
    noise = {"words": "isotropic × 2", "eta": 0.25, "ratio": 3.0}
    table = noise_table([write_fit(tmp_path, variant="fixed", noise=noise)])
    assert r"isotropic $\times$ 2 & \ensuremath{0.25}" in table
    assert r"\ensuremath{-5.00} & \ensuremath{0.100} & \ensuremath{0.500}" in table


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="needs LaTeX")
@pytest.mark.parametrize("with_results", [False, True])
def test_the_report_compiles_with_and_without_results(results, tmp_path, with_results):
    root = results[0] if with_results else tmp_path / "results" / "mnist"
    write_numbers(root, tmp_path)
    write_appendix(root, tmp_path)
    shutil.copy(REPORT, tmp_path)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "report.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "report.pdf").stat().st_size > 10_000
