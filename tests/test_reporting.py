"""Tables, figures and the terminal table from saved results, on made-up fits of 6×6 images."""

import shutil
import subprocess
import sys

import numpy as np
import pytest
from result_files import CEILING, write_fit

from assignment.errors import UserError
from assignment.reporting.drawing.images import mosaic
from assignment.reporting.drawing.style import style
from assignment.reporting.figures import draw_part
from assignment.reporting.gains import best_gains, gains
from assignment.reporting.labels import by_family, estimator_label
from assignment.reporting.results import load_results
from assignment.reporting.selection import part_fits
from assignment.reporting.tables import escape, results_table, tabulate_part
from assignment.reporting.terminal import terminal_table

OF_EVERY_FIT = ("samples", "weights", "covariance", "training")
BORDER = "ended on the border of the positive definite cone (λ_min → 0)"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """results/<dataset> with fits of several parts."""
    root = tmp_path_factory.mktemp("reports") / "results" / "mnist"
    write_fit(root, "nce", variant="fixed", weights="per_edge", learned=-215.1, status="failed: separated")
    write_fit(root, "nce", held_out={"log_likelihood": 19.9, "maximum_likelihood": CEILING, "gap": 0.1})
    write_fit(root, "ml", "ml", None)
    write_fit(root, "second", "sm", "plain", status=BORDER, coin={"seed": 7, "outcome": "tails"})
    write_fit(root, "bonus8", "ml", None, connectivity=8)
    return root


@pytest.fixture(scope="module")
def drawn(root, tmp_path_factory):
    """What `draw_part` gave for each part."""
    reports = tmp_path_factory.mktemp("drawn")
    return {part: draw_part(part, root, reports) for part in ("nce", "second", "bonus8")}


def test_reporting_never_imports_tensorflow():
    modules = "figures tables terminal results gains"
    code = "import sys\n" + "\n".join(f"import assignment.reporting.{name}" for name in modules.split())
    code += "\nbad = {'tensorflow', 'keras', 'matplotlib.pyplot'} & set(sys.modules)\nassert not bad, bad"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_tables_and_results_do_without_matplotlib():
    code = "import sys, assignment.reporting.tables, assignment.reporting.terminal\n"
    code += "assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_figure_of_a_part_is_drawn(drawn):
    def names(part):
        return {path.name for path in drawn[part]}

    telescoped = [*OF_EVERY_FIT, "log-ratios", "stages", "stage-samples"]
    expected = {f"nce-{what}-nce-telescoped-shared-4" for what in telescoped}
    expected |= {f"nce-{what}-nce-fixed-per_edge-4" for what in [*OF_EVERY_FIT, "log-ratios"]} | {"nce-samples"}
    assert names("nce") == {f"{stem}.{kind}" for stem in expected for kind in ("pdf", "png")}
    assert {"second-samples.pdf", "second-epsilon-shared-4.png"} <= names("second")
    assert {"bonus8-samples.pdf", "bonus8-neighbourhoods.png", "bonus8-gain.pdf"} <= names("bonus8")


def test_figures_are_whole_files(drawn):
    for paths in drawn.values():
        for path in paths:
            start = {".pdf": b"%PDF", ".png": b"\x89PNG"}[path.suffix]
            assert path.read_bytes().startswith(start)
        assert {path.name for path in paths[0].parent.glob("*.partial")} == set()


def test_the_same_results_give_the_same_figures(root, drawn, tmp_path):
    again = draw_part("second", root, tmp_path)
    for path, before in zip(again, drawn["second"], strict=True):
        assert path.read_bytes() == before.read_bytes()


def test_only_what_changed_is_drawn_again(root, tmp_path):
    results = tmp_path / "results"
    shutil.copytree(root / "ml", results / "ml")
    paths = draw_part("ml", results, tmp_path)
    before = [path.stat().st_mtime_ns for path in paths]
    assert draw_part("ml", results, tmp_path) == paths
    assert [path.stat().st_mtime_ns for path in paths] == before
    write_fit(results, "ml", "ml", None, seconds=9.0)  # Not a matter of any figure.
    draw_part("ml", results, tmp_path)
    assert [path.stat().st_mtime_ns for path in paths] == before
    write_fit(results, "ml", "ml", None, steps=9)
    draw_part("ml", results, tmp_path)
    assert all(path.stat().st_mtime_ns > old for path, old in zip(paths, before, strict=True))


def test_nothing_is_made_of_no_results(tmp_path):
    assert draw_part("nce", tmp_path, tmp_path) == tabulate_part("nce", tmp_path, tmp_path) == []
    assert list(tmp_path.iterdir()) == []
    assert terminal_table([]) == "No results yet."


def test_damaged_results_stop_the_figures_with_one_line(tmp_path):
    write_fit(tmp_path).path.write_bytes(b"not a zip file")
    with pytest.raises(UserError, match="is damaged"):
        draw_part("nce", tmp_path, tmp_path)


def test_the_users_own_look_is_kept_out_and_kept():
    import matplotlib

    with matplotlib.rc_context({"lines.linewidth": 17}):
        with style():
            assert matplotlib.rcParams["lines.linewidth"] < 2 and matplotlib.rcParams["pdf.fonttype"] == 42
        assert matplotlib.rcParams["lines.linewidth"] == 17


def test_a_mosaic_leaves_room_between_images_and_blank_where_there_are_none():
    sheet = mosaic(np.ones((3, 2, 2)), 2, 2)
    assert sheet.shape == (5, 5)
    assert np.isnan(sheet[2]).all() and np.isnan(sheet[3:, 3:]).all() and np.nansum(sheet) == 12


def test_second_and_bonus8_are_set_beside_the_other_parts(root):
    assert {fit.name for fit in part_fits("second", root)} == {
        "sm-plain-shared-4", "ml-shared-4", "nce-telescoped-shared-4",
    }  # fmt: skip
    assert {fit.name for fit in part_fits("bonus8", root)} == {
        "ml-shared-8", "sm-plain-shared-4", "ml-shared-4", "nce-telescoped-shared-4",
    }  # fmt: skip
    assert [fit.name for fit in part_fits("ml", root)] == ["ml-shared-4"]


def test_the_gain_of_more_neighbours_is_paired_by_image(root):
    (gain,) = gains(load_results(root))
    assert (gain.four.name, gain.eight.name) == ("ml-shared-4", "ml-shared-8")
    # The made-up images' log-likelihoods differ by 4 everywhere.
    assert gain.mean == pytest.approx(4) and gain.standard_error < 1e-12
    assert str(best_gains(load_results(root))[0]).startswith("8 instead of 4 neighbours: +4.00 ± 0.00 nats")


def test_fits_are_read_in_one_order_with_the_yardstick_last(root):
    groups = by_family(load_results(root))
    ordered = {family: [estimator_label(fit) for fit in group] for family, group in groups.items()}
    assert list(ordered) == [("shared", 4), ("shared", 8), ("per_edge", 4)]
    assert ordered["shared", 4] == ["NCE telescoped", "score matching plain", "maximum likelihood"]


def test_labels_name_optimizer_and_seed_that_are_not_the_defaults(tmp_path):
    fit = write_fit(tmp_path, "sm", "sm", "plain", optimizer="rmsprop", seed=3)
    assert estimator_label(fit) == "score matching plain, RMSProp, seed 3"


def test_the_terminal_table_fits_the_terminal_and_says_what_went_wrong(root):
    text = terminal_table(load_results(root))
    assert max(map(len, text.splitlines())) <= 120
    assert "-5.00 ± 0.08" in text and "-210.0" in text
    assert f"SM plain (shared, 4): {BORDER}" in text
    assert "The coin (seed 7) fell tails." in text
    row = next(line for line in text.splitlines() if line.startswith("ML"))
    assert row.split()[4] == "–"  # maximum likelihood learns no log Z


def test_the_sample_data_set_is_owned_up_to_everywhere(tmp_path):
    dataset = {"name": "mnist_sample", "source": "2,000 images", "images": 2000, "sha256": "0", "fallback": True}
    fit = write_fit(tmp_path, "ml", "ml", None, dataset=dataset)
    assert "The small sample data set served: 2,000 images." in terminal_table([fit])
    assert "The small sample data set served: 2,000 images." in results_table([fit])


def test_the_table_marks_the_best_and_what_did_not_converge(root):
    table = results_table(load_results(root))
    lines = {line.split(" & ")[0]: line for line in table.splitlines() if " & " in line}
    assert r"\textbf{\boldmath $19.90$}" in lines["NCE telescoped"]
    assert "textbf" not in lines["ML, exact"]
    assert "SM plain$^{a}$" in lines and "NCE fixed$^{b}$" in lines
    assert r"\footnotesize $^{a}$ ended on the border of the positive definite cone ($\lambda$\_min" in table
    assert "$4.50;\\,-1.00,\\,-1.10$" in lines["NCE telescoped"]
    assert " -- & $-5.10$ & -- " in lines["SM plain$^{a}$"]


def test_tables_are_plain_balanced_tabulars(root, tmp_path):
    paths = tabulate_part("second", root, tmp_path)
    assert [path.name for path in paths] == ["second.tex", "results.tex"]
    for path in paths:
        text = path.read_text(encoding="utf-8")
        assert text.count("{") == text.count("}") and text.count(r"\begingroup") == text.count(r"\endgroup") == 1
        lines = text.replace("\n& ", " & ").splitlines()
        rows = [line for line in lines if line.endswith(r"\\") and "multicolumn" not in line]
        assert {row.count("&") for row in rows} == {9}


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex")
def test_a_table_compiles_by_itself(root, tmp_path):
    tabulate_part("bonus8", root, tmp_path)
    document = r"\documentclass{article}\usepackage{booktabs}\begin{document}\input{tables/bonus8}\end{document}"
    (tmp_path / "alone.tex").write_text(document)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "alone.tex"]
    subprocess.run(command, cwd=tmp_path, check=True, stdout=subprocess.DEVNULL)


def test_words_are_escaped_for_latex():
    assert escape("per_edge 50% & λ_min \\ −1") == r"per\_edge 50\% \& $\lambda$\_min \textbackslash{} $-$1"
