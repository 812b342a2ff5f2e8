"""Tables, figures and the terminal table from saved results, on made-up fits."""

import itertools
import re
import shutil
import subprocess

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread
from result_files import CEILING, write_fit

from assignment.errors import UserError
from assignment.exercise.estimators import ESTIMATORS
from assignment.fits.averaging import ON_BORDER
from assignment.reporting import numbers
from assignment.reporting.drawing import comparison, curves, images
from assignment.reporting.drawing.style import save, style
from assignment.reporting.figures import draw_part
from assignment.reporting.labels import by_family, estimator_label, short_ending
from assignment.reporting.selection import gains, part_fits, remarks
from assignment.reporting.tables import results_table, tabulate_part, terminal_table
from assignment.results import load_results

OF_EVERY_FIT = ("samples", "weights", "covariance", "training")
BORDER = f"{ON_BORDER} (its loss is 1.5, that of the fit 2)"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """results/<data set> with fits of several parts."""
    root = tmp_path_factory.mktemp("reports") / "results" / "mnist"
    write_fit(root, "nce", variant="fixed", weights="per_edge", learned=-215.1, status="failed: separated")
    write_fit(root, "nce", held_out={"log_likelihood": 19.9, "maximum_likelihood": CEILING, "gap": 0.1})
    write_fit(root, "ml", "ml", None, suboptimality=-1e-9)
    write_fit(
        root, "second", "cnce", "isotropic", status=BORDER, coin={"seed": 7, "outcome": "heads"}, suboptimality=7.1
    )
    write_fit(root, "bonus8", "ml", None, connectivity=8)
    return root


@pytest.mark.slow
def test_every_figure_of_a_part_is_drawn_into_whole_files_and_the_same_ones_again(root, tmp_path):
    drawn = {part: draw_part(part, root, tmp_path) for part in ("nce", "second", "bonus8")}
    names = {part: {path.name for path in paths} for part, paths in drawn.items()}
    telescoped = [*(set(OF_EVERY_FIT) - {"training"}), "stages", "stage-samples"]  # Its loss hardly changes.
    expected = {f"nce-{what}-nce-telescoped-shared-4" for what in telescoped}
    expected |= {f"nce-{what}-nce-fixed-per_edge-4" for what in [*OF_EVERY_FIT, "log-ratios"]} | {"nce-samples"}
    assert names["nce"] == {f"{stem}.{kind}" for stem in expected for kind in ("pdf", "png")}
    assert {"second-samples.pdf", "second-epsilon-shared-4.png"} <= names["second"]
    assert {"bonus8-samples.pdf", "bonus8-neighbourhoods.png", "bonus8-gain.pdf"} <= names["bonus8"]
    for path in itertools.chain(*drawn.values()):
        assert path.read_bytes().startswith({".pdf": b"%PDF", ".png": b"\x89PNG"}[path.suffix])
    assert not list(path.parent.glob(".*.partial"))
    again = draw_part("second", root, tmp_path / "again", ["second-samples", "second-epsilon-shared-4"])
    assert len(again) == 4
    for path in again:
        assert path.read_bytes() == (tmp_path / "figures" / path.name).read_bytes()


def test_no_label_of_the_samples_is_cut_off_at_the_edge(tmp_path):
    kinds = [(row.name, row.variant) for row in ESTIMATORS]
    fits = [write_fit(tmp_path, "second", *kind, size=(28, 28)) for kind in kinds]
    _, picture = save(comparison.sample_panel(fits), tmp_path / "samples", "a title")
    assert (imread(picture)[:, 0] == 1).all()


def test_only_the_picture_bears_a_title_for_the_report_has_captions(tmp_path):
    saved = {}
    for title in ("what it shows", None):
        figure = images.samples(np.ones((2, 3, 3)), np.ones((2, 3, 3)))
        saved[title] = [path.read_bytes() for path in save(figure, tmp_path / str(title), title)]
        assert (figure.get_suptitle() or None) == title
    (pdf, png), (untitled_pdf, untitled_png) = saved.values()
    assert pdf == untitled_pdf and png != untitled_png


@pytest.mark.parametrize("size", [(2, 2), pytest.param((3, 14), marks=pytest.mark.slow)], ids=str)
def test_images_of_any_size_and_shape_are_drawn(tmp_path, size):
    for part, connectivity in (("nce", 4), ("bonus8", 8)):
        for weights in ("shared", "per_edge"):
            write_fit(tmp_path, part, "nce", "telescoped", weights, connectivity, size)
    fit = "nce-telescoped-per_edge-4"
    shown = {f"nce-{what}-{fit}" for what in ("samples", "weights", "covariance", "stage-samples")}
    shown |= {f"bonus8-{what}" for what in ("samples", "gain", "best", "weights-nce-telescoped-per_edge-8")}
    paths = [path for part in ("nce", "bonus8") for path in draw_part(part, tmp_path, tmp_path, shown)]
    assert {path.stem for path in paths} == shown


def test_images_stand_in_about_a_square_a_pixel_apart_and_blank_where_there_are_none():
    assert images.mosaic_shape(16, (28, 28)) == (4, 4)
    assert images.mosaic_shape(16, (7, 28)) == (8, 2) and images.mosaic_shape(16, (28, 7)) == (2, 8)
    assert images.mosaic_shape(16, (1, 100)) == (16, 1)
    sheet = images.mosaic(np.ones((3, 2, 2)), 2, 2)
    assert sheet.shape == (5, 5)
    assert np.isnan(sheet[2]).all() and np.isnan(sheet[3:, 3:]).all() and np.nansum(sheet) == 12


def test_samples_that_leave_the_grey_scale_have_a_labelled_one_of_their_own():
    data = np.random.default_rng(0).standard_normal((16, 4, 4))
    limits = images.grey_limits(data)
    assert images.sample_scale(1.2 * data, limits)[1] == ""
    assert images.sample_scale(50 * data, limits)[1] == "scale × 50"
    titles = [axes.get_title() for axes in images.samples(data, 50 * data).axes]
    assert "samples of the fit, scale × 50" in titles


def test_notebooks_get_figures_of_plain_arrays_without_a_backend(monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "module://nothing")
    random = np.random.default_rng(0)
    learned = np.linspace(-9, -5, 8)
    figures = [
        images.samples(random.random((3, 5, 4)), random.random((3, 5, 4))),
        images.weights(np.float64(4.0), np.array([-1.0, -0.9])),
        images.weights(random.random((5, 4)), random.random((4, 5, 4))),
        curves.log_partition_by_stage(learned, np.linspace(0, 0.1, 8), learned + 0.01),
    ]
    for figure in figures:
        assert isinstance(figure, Figure) and figure._repr_png_().startswith(b"\x89PNG")


def test_nothing_is_made_of_no_results_and_damaged_ones_stop_with_one_line(tmp_path):
    assert draw_part("nce", tmp_path, tmp_path) == tabulate_part("nce", tmp_path, tmp_path) == []
    assert list(tmp_path.iterdir()) == []
    write_fit(tmp_path).path.write_bytes(b"not a zip file")
    with pytest.raises(UserError, match="is damaged"):
        draw_part("nce", tmp_path, tmp_path)


def test_the_users_own_look_is_kept_out_and_kept():
    with matplotlib.rc_context({"lines.linewidth": 17}):
        with style():
            assert matplotlib.rcParams["lines.linewidth"] < 2 and matplotlib.rcParams["pdf.fonttype"] == 42
        assert matplotlib.rcParams["lines.linewidth"] == 17


@pytest.mark.parametrize(
    ("part", "names"),
    [
        ("second", "cnce-isotropic-shared-4 ml-shared-4 nce-telescoped-shared-4"),
        ("bonus8", "ml-shared-8 cnce-isotropic-shared-4 ml-shared-4 nce-telescoped-shared-4"),
        ("ml", "ml-shared-4"),
    ],
)
def test_second_and_bonus8_are_set_beside_the_other_parts(root, part, names):
    found = [fit.name for fit in part_fits(part, root)]
    assert sorted(found) == sorted(names.split())


def test_the_gain_of_more_neighbours_is_paired_by_image(root):
    (gain,) = gains(load_results(root))
    assert (gain.four.name, gain.eight.name) == ("ml-shared-4", "ml-shared-8")
    # The made-up images' log-likelihoods differ by 4 everywhere.
    assert gain.mean == pytest.approx(4) and gain.standard_error < 1e-12
    assert remarks(load_results(root))[0].startswith("8 instead of 4 neighbours: +4.00 ± 0.00 nats")


def test_the_log_ratios_are_divided_at_log_nu():
    data, noise = np.array([1.0, 3.0, 4.0, 5.0]), np.array([-1.0, 0.5, 1.5, 2.5])
    for decision, words in ((0.0, "38 % on the wrong side of 0"), (2.0, "25 % on the wrong side of 2")):
        (axes,) = curves.log_ratios(data, noise, decision).axes
        assert axes.get_title() == words and axes.lines[0].get_xdata()[0] == decision


def test_fits_of_another_seed_are_not_set_beside(tmp_path):
    for part, variant, seed in (("nce", "fixed", 3), ("nce", "telescoped", 0), ("second", "fixed", 0)):
        write_fit(tmp_path, part, variant=variant, seed=seed)
    assert [fit.record["seed"] for fit in part_fits("second", tmp_path)] == [0, 0]


def test_fits_are_read_in_one_order_with_maximum_likelihood_last(root):
    groups = by_family(load_results(root))
    assert list(groups) == [("shared", 4), ("shared", 8), ("per_edge", 4)]
    labels = ["NCE telescoped", "cNCE isotropic", "ML, exact"]
    assert [estimator_label(fit) for fit in groups["shared", 4]] == labels


def test_labels_name_optimizer_noise_and_seed_that_are_not_the_defaults(tmp_path):
    fit = write_fit(tmp_path, "sm", "sm", "plain", optimizer="rmsprop", seed=3)
    assert estimator_label(fit) == "SM plain, RMSProp, seed 3"
    fit = write_fit(tmp_path, variant="fixed", request={"noise_variance": "isotropic", "noise_scale": 4.0, "eta": 0.1})
    assert estimator_label(fit) == "NCE fixed, isotropic, scale 4, eta 0.1"


def test_the_terminal_table_fits_the_terminal_and_says_what_went_wrong(root):
    text = terminal_table(load_results(root))
    assert max(len(line) for line in text.splitlines() if BORDER not in line) <= 120
    assert "-5.00 ± 0.08" in text and "-210.0" in text
    assert f"cNCE isotropic (shared, 4): {BORDER}" in text
    assert "The coin (seed 7) fell heads." in text
    rows = {line.split("  ")[0]: line.split() for line in text.splitlines() if ", 4  " in line}
    assert rows["ML, exact"][4] == "–"  # maximum likelihood learns no log Z
    assert (
        rows["ML, exact"][-3] == "0.000" and rows["cNCE isotropic"][-3] == "7.100" and rows["NCE telescoped"][-3] == "–"
    )
    assert "NCE" not in terminal_table(part_fits("ml", root))  # which has no fit of it


def test_the_sample_data_set_is_owned_up_to_everywhere(tmp_path):
    dataset = {"name": "mnist_sample", "source": "2,000 images", "images": 2000, "sha256": "0", "fallback": True}
    fit = write_fit(tmp_path, "ml", "ml", None, dataset=dataset)
    assert "The small sample data set served: 2,000 images." in terminal_table([fit])
    table = tabulate_part("ml", tmp_path, tmp_path)[0].read_text(encoding="utf-8")
    assert "The small sample data set served: 2,000 images." in table


def test_the_table_marks_the_best_and_what_did_not_converge(root):
    table = results_table(load_results(root))
    lines = {line.split(" & ")[0]: line for line in table.splitlines() if " & " in line}
    assert r"\textbf{\boldmath \ensuremath{0.100}}" in lines["NCE telescoped"]
    assert "textbf" not in lines["ML, exact"]
    assert "cNCE isotropic$^{a}$" in lines and "NCE fixed$^{b}$" in lines
    assert r"\footnotesize $^{a}$ ended on the border}" in table
    assert "$4.5; -1.0, -1.1$" in lines["NCE telescoped"]
    assert r"\ensuremath{-5.10} & -- &  &" in lines["cNCE isotropic$^{a}$"]
    assert r"\ensuremath{7.100}" in lines["cNCE isotropic$^{a}$"]


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("converged", None),
        (BORDER, "ended on the border"),
        ("not converged: 3.2 nats of its optimum left; no log Z", "not converged: 3.2 nats of its optimum left"),
        ("failed: " + 9 * "very long ", "failed"),
    ],
)
def test_tables_say_in_a_few_words_how_fits_ended(tmp_path, status, words):
    assert short_ending(write_fit(tmp_path, status=status)) == words


def test_columns_that_say_nothing_are_left_out(tmp_path):
    fit = write_fit(tmp_path, "sm", "sm", "preconditioned", "per_edge")
    for words in ("left", "weights of", "$c-"):
        assert words not in results_table([fit])
    fit = write_fit(tmp_path, "sm", "sm", "preconditioned", suboptimality=0.004)
    assert "left" in results_table([fit]) and "weights of" in results_table([fit])


@pytest.mark.parametrize("value", [-1e-9, -4e-4, -0.0, 0.0, 4e-4])
def test_no_number_is_minus_nothing(tmp_path, value):
    printed = [getattr(numbers, name)(value) for name in ("nats", "gap", "size", "count", "percent", "small", "below")]
    printed += [numbers.signed(value), numbers.uncertain(value, 0.0)]
    assert not [text for text in printed if re.search(r"[-−]0(\.0*)?(?![.\d])", text)]
    assert numbers.gap(value) == "0.000" and numbers.below(value) == "0.000 nats from"
    tiny = {"estimate": -5.1, "exact": -5.1, "gap": value, "standard_error": 0.01}
    held_out = {"log_likelihood": CEILING, "maximum_likelihood": CEILING, "gap": value}
    fit = write_fit(tmp_path, log_partition=tiny, held_out=held_out, suboptimality=value)
    assert "-0.000" not in terminal_table([fit]) + results_table([fit])


def test_tables_are_plain_balanced_tabulars_that_compile_by_themselves(root, tmp_path):
    (path,) = tabulate_part("second", root, tmp_path)
    text = path.read_text(encoding="utf-8")
    assert path == tmp_path / "tables" / "second.tex"
    assert text.count("{") == text.count("}") and text.count(r"\begingroup") == text.count(r"\endgroup") == 1
    rows = [line for line in text.splitlines() if line.endswith(r"\\") and "multicolumn" not in line]
    assert {row.count("&") for row in rows} == {9}
    if not shutil.which("pdflatex"):
        pytest.skip("pdflatex is not installed: the table is not compiled")
    document = r"\documentclass{article}\usepackage{booktabs}\begin{document}\input{tables/second}\end{document}"
    (tmp_path / "alone.tex").write_text(document)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "alone.tex"]
    subprocess.run(command, cwd=tmp_path, check=True, stdout=subprocess.DEVNULL)


def test_values_far_to_the_left_do_not_squeeze_the_comparison(root):
    fits = load_results(root)
    low = dict(log_likelihood=CEILING - 500, maximum_likelihood=CEILING, gap=500.0)
    fits[0].record["held_out"] = low
    left = min(axes.get_xlim()[0] for axes in comparison.neighbourhoods(fits).axes)
    assert left > CEILING - 100
