"""Fits on disk: whole or not at all, the same bytes for the same fit, one line for a damaged one."""

import json
import os
import time

import numpy as np
import pytest
from result_files import arrays, record, write_fit

from assignment.errors import UserError
from assignment.results import fit_name, load_fit, load_part, load_results, locked, save_fit, write_whole

NAME = "nce-telescoped-shared-4"


def test_names_follow_the_format():
    assert fit_name("nce", "telescoped", "per_edge", 8) == "nce-telescoped-per_edge-8"
    assert fit_name("cnce", "matched", "shared", 4, "sgd") == "cnce-matched-shared-4-sgd"
    assert fit_name("ml", None, "shared", 4) == "ml-shared-4"
    assert fit_name("sm", "plain", "shared", 4, "rmsprop", 3) == "sm-plain-shared-4-rmsprop-seed3"


def test_a_saved_fit_reads_back(tmp_path):
    given = arrays()
    saved = save_fit(tmp_path, NAME, record(seconds=np.float32(1.5), steps=np.int64(7), loss=np.arange(2)), given)
    fit = load_fit(tmp_path, NAME)
    assert (fit.name, fit.record["seconds"], fit.record["steps"]) == (NAME, 1.5, 7)
    assert saved.record == fit.record and saved.path == fit.path and fit.record["loss"] == [0, 1]
    assert set(fit.arrays) == set(given)
    for key, value in given.items():
        np.testing.assert_array_equal(fit.arrays[key], value)
    assert fit.arrays["values"].dtype == np.float64
    text = (tmp_path / f"{NAME}.json").read_text()
    assert text == json.dumps(fit.record, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def test_the_same_fit_gives_the_same_bytes(tmp_path, monkeypatch):
    save_fit(tmp_path / "a", NAME, record(), arrays())
    monkeypatch.setattr(time, "time", lambda now=time.time: now() + 1e6)
    save_fit(tmp_path / "b", NAME, dict(reversed(record().items())), arrays())
    for suffix in (".json", ".npz"):
        assert (tmp_path / "a" / (NAME + suffix)).read_bytes() == (tmp_path / "b" / (NAME + suffix)).read_bytes()


def changed(key, change):
    """The arrays of a fit, one of them changed."""
    given = arrays()
    return given | {key: change(given[key])}


@pytest.mark.parametrize(
    ("facts", "given", "message"),
    [
        (record(settings={"rates": [0.1, np.nan]}), arrays(), "not finite: settings.rates.1"),
        (record(settings={"rates": np.array([0.1, np.inf])}), arrays(), "not finite: settings.rates.1"),
        (record(settings={"rates": (-np.inf, 0.1)}), arrays(), "not finite: settings.rates.0"),
        (record(seconds=np.float32("nan")), arrays(), "not finite: seconds"),
        ({"steps": 1}, arrays(), "lacks part, .*, dataset.name"),
        (record(held_out={"gap": 1.0}), arrays(), "lacks held_out.log_likelihood, held_out.maximum_likelihood"),
        (record(), changed("values", lambda v: np.r_[np.nan, v[1:]]), "values holds numbers that are not finite"),
        (record(), changed("values", lambda v: v + (np.arange(len(v)) == len(v) - 1)), "Λ is not symmetric"),
        (record(), changed("rows", lambda r: np.where(r == 0, 36, r)), "pixel numbers from 0 to 35"),
        (record(), changed("cols", lambda c: np.where(np.arange(len(c)) == 1, 0, c)), "symmetric|twice"),
        (record(), changed("values", lambda v: v[1:]), "one length"),
        (record(), changed("stage_spread", lambda s: s + np.inf), "stage_spread holds"),
        (record(), changed("data", lambda d: d.astype(object)), "must hold numbers"),
        (record(), {key: array for key, array in arrays().items() if key != "samples"}, "lack samples"),
    ],
)
def test_what_does_not_hold_a_fit_leaves_nothing(tmp_path, facts, given, message):
    with pytest.raises(ValueError, match=message):
        save_fit(tmp_path / "new", NAME, facts, given)
    assert not (tmp_path / "new").exists()


def test_folders_are_read_in_order_and_may_be_missing(tmp_path):
    write_fit(tmp_path, "sm", "sm", "plain")
    write_fit(tmp_path, "nce", variant="fixed")
    write_fit(tmp_path, "nce")
    assert [fit.name for fit in load_part(tmp_path / "nce")] == ["nce-fixed-shared-4", NAME]
    assert [fit.record["part"] for fit in load_results(tmp_path)] == ["nce", "nce", "sm"]
    assert load_part(tmp_path / "ml") == load_results(tmp_path / "nowhere") == []


def test_a_run_killed_between_the_files_leaves_no_fit(tmp_path, monkeypatch):
    write_fit(tmp_path)
    monkeypatch.setattr("assignment.results.write_text", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        write_fit(tmp_path)
    assert load_part(tmp_path / "nce") == []


def test_temporary_files_of_killed_runs_are_ignored_and_cleaned(tmp_path):
    fit = write_fit(tmp_path)
    old, new = (tmp_path / "nce" / f".{NAME}.json.{pid}.partial" for pid in (1, 2))
    for leftover in (old, new):
        leftover.write_text("{")
    os.utime(old, (0, 0))
    assert [found.name for found in load_part(tmp_path / "nce")] == [fit.name]
    write_fit(tmp_path)
    assert not old.exists() and new.exists()  # the new one may belong to a run that still writes


def test_a_failed_write_leaves_the_file_as_it_was(tmp_path):
    path = tmp_path / "file"
    path.write_text("before")
    with pytest.raises(ZeroDivisionError):
        write_whole(path, lambda file: file.write(b"half") / 0)
    assert [p.name for p in tmp_path.iterdir()] == ["file"] and path.read_text() == "before"


def test_a_folder_that_cannot_be_made_is_the_users_to_mend(tmp_path):
    (tmp_path / "nce").write_text("a file where the folder should be")
    with pytest.raises(UserError, match="cannot write"):
        write_fit(tmp_path)


def refused(folder, words):
    """Reading a fit with its arrays ends in one line for the user."""
    with pytest.raises(UserError, match=words) as error:
        [fit.arrays for fit in load_part(folder)]
    return "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"fit": NaN}', "\x00\xff", "1e999", "NaN"])
def test_damaged_json_is_one_line(tmp_path, text):
    """The last two are numbers in the place of the seconds."""
    path = write_fit(tmp_path).path.with_suffix(".json")
    whole, number = path.read_text().replace("1.25", text), text in ("1e999", "NaN")
    path.write_text(whole if number else text, encoding="latin-1")
    assert refused(tmp_path / "nce", "not finite: seconds" if number else "is damaged")


def test_damaged_npz_is_one_line(tmp_path):
    fit = write_fit(tmp_path)
    whole = fit.path.read_bytes()
    flipped = whole[:300] + bytes(byte ^ 255 for byte in whole[300:400]) + whole[400:]
    for bad in (b"", whole[: len(whole) // 2], b"PK" + whole[:50], flipped, b"{}"):
        fit.path.write_bytes(bad)
        assert refused(tmp_path / "nce", "is damaged")
    np.savez(fit.path, **arrays() | {"data": np.array([{"a": 1}], dtype=object)})  # which only a pickle can hold
    assert refused(tmp_path / "nce", "is damaged")
    fit.path.unlink()
    assert refused(tmp_path / "nce", "missing")
    with pytest.raises(UserError, match="no fit"):
        load_fit(tmp_path / "nce", "ml-shared-4")


def test_a_second_run_into_a_folder_is_refused_in_one_line_and_a_later_one_is_not(tmp_path):
    with locked(tmp_path / "nce", "part nce"):
        with pytest.raises(UserError, match="part nce is being run into .*nce already; wait") as error:
            with locked(tmp_path / "nce", "part nce"):
                pass
        assert "\n" not in str(error.value)
    with locked(tmp_path / "nce", "part nce"):
        assert list((tmp_path / "nce").iterdir()) == []
