"""Many analyses in one call: what each is alone, failures, folders, kills."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
import warnings
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import pyrobma as rb
from pyrobma.many import folder as folders

PATIENCE = 60.0  # seconds for what takes five on an idle machine
FEW = rb.SamplerSettings(chains=2, draws=200, sampler="independence")
ROBMA = {"d": "d", "se": "se", "priors_bias": None, "settings": FEW}


class Now:
    """An executor that does a job at once, and counts."""

    def __init__(self):
        self.jobs = 0

    def submit(self, function, /, *arguments):
        self.jobs += 1
        job = Future()
        try:
            job.set_result(function(*arguments))
        except BaseException as error:
            job.set_exception(error)
        return job


@pytest.fixture(scope="module")
def table():
    """Return five analyses of two to six studies, row by row in turn."""
    rng = np.random.default_rng(1)
    rows = [(f"m{k}", rng.normal(0.05 * k, 0.2), 0.1 + 0.02 * k)
            for k in range(5) for _ in range(2 + k)]  # fmt: skip
    frame = pd.DataFrame(rows, columns=["meta", "d", "se"])
    return frame.sample(frac=1, random_state=1).reset_index(drop=True)


def many(data, by="meta", **options):
    given = {"seed": 1, "progress": False, "executor": Now()} | ROBMA | options
    return rb.robma_many(data, by, **given)


@pytest.fixture(scope="module")
def found(table):
    return many(table)


def assert_same(one, other):
    # Not the seconds that it took.
    pd.testing.assert_frame_equal(
        one.drop(columns="seconds"), other.drop(columns="seconds")
    )


def test_each_analysis_is_what_robma_returns(table, found):
    for name, own in found.groupby("meta"):
        about = own[own["kind"] == "analysis"].iloc[0]
        data = table[table["meta"] == name]
        fit = rb.robma(data, **ROBMA, seed=int(about["seed"]), progress=False)
        components = own[own["kind"] == "component"].set_index("name")
        for column in ("prior_prob", "post_prob", "inclusion_bf", "log_bf"):
            assert components[column].to_dict() == fit.inclusion[column].to_dict()
        estimates = own[own["kind"] == "estimate"].set_index("name")
        assert list(estimates.index) == list(fit.parameters)
        for parameter, row in estimates.iterrows():
            mixture = fit.mixture(parameter)
            assert row["mean"] == mixture.mean()
            assert row["sd"] == mixture.sd()
            expected = mixture.quantiles([0.025, 0.5, 0.975])
            assert [row["lower"], row["median"], row["upper"]] == list(expected)
        assert about["K"] == len(data)
        assert about["models"] == 4
        assert pd.isna(about["error"])


def test_rows_come_in_the_order_of_the_data(table, found):
    assert list(found["meta"].unique()) == list(table["meta"].unique())


def test_numbers_do_not_depend_on_what_else_is_analysed_nor_on_the_order(table, found):
    some = table[table["meta"].isin(["m3", "m1"])].iloc[::-1]
    # The order of the estimates of an analysis is theirs, and kept.
    some = some.sort_index(ascending=True)
    again = many(some)
    expected = found[found["meta"].isin(["m3", "m1"])].reset_index(drop=True)
    assert_same(again, expected)


def test_other_seeds_give_other_numbers(table, found):
    other = many(table, seed=2)
    assert (other["mean"].dropna() != found["mean"].dropna()).any()


def test_a_mapping_and_an_iterable_and_a_file_give_the_same(table, found, tmp_path):
    sets = dict(iter(table.groupby("meta", sort=False)))
    expected = found.rename(columns={"meta": "analysis"})
    assert_same(many(sets, None), expected)
    assert_same(many(iter(sets.items()), None), expected)
    path = tmp_path / "data.parquet"
    pd.concat(sets.values()).to_parquet(path, index=False)
    assert_same(many(path), found)


def test_a_file_is_read_in_pieces_however_they_fall(
    table, found, tmp_path, monkeypatch
):
    import pyarrow.dataset

    path = tmp_path / "data.parquet"
    ordered = pd.concat(f for _, f in table.groupby("meta", sort=False))
    ordered.to_parquet(path, index=False, row_group_size=3)
    pieces = len(list(pyarrow.dataset.dataset(path).to_batches()))
    assert pieces == -(-len(table) // 3)
    assert_same(many(str(path)), found)


def test_a_file_that_is_not_sorted_is_refused(table, tmp_path):
    path = tmp_path / "data.parquet"
    table.to_parquet(path, index=False, row_group_size=3)
    with pytest.raises(rb.DataError, match=r"names that occur once; got 'm\d' again"):
        many(path)


def test_data_sets_of_a_simulation_are_numbered():
    plan = rb.robma(d=[0.1] * 3, se=[0.1] * 3, priors_bias=None, only_priors=True)
    simulated = rb.simulate(plan, 3, seed=1)
    found = many(simulated, None, d=None, se=None)
    assert list(found["dataset"].unique()) == [1, 2, 3]
    first = found[found["dataset"] == 1]
    seed = int(first["seed"].iloc[0])
    fit = rb.robma(
        simulated.effects(1), priors_bias=None, settings=FEW, seed=seed, progress=False
    )
    own = first[first["name"] == "mu"].iloc[0]
    assert own["mean"] == fit.mixture("mu").mean()


def test_a_failure_is_recorded_and_the_rest_goes_on(table, found):
    bad = table.copy()
    bad.loc[bad["meta"] == "m2", "se"] = -1.0
    match = (
        r"1 of 5 analyses failed; see the column 'error'. Analysis 'm2': DataError: se"
    )
    with pytest.warns(rb.ConvergenceWarning, match=match):
        again = many(bad)
    own = again[again["meta"] == "m2"]
    assert len(own) == 1
    assert "got -1" in own["error"].iloc[0]
    assert_same(
        again[again["meta"] != "m2"].reset_index(drop=True),
        found[found["meta"] != "m2"].reset_index(drop=True),
    )


def test_warnings_are_in_the_table_and_not_given(table):
    far = table.assign(d=table["d"] - 3.0)
    found = many(far, priors_bias=rb.prior_PET("normal", mean=0, sd=1))
    texts = found.loc[found["kind"] == "analysis", "warnings"]
    assert texts.str.contains("DataWarning: effect_direction").all()


def test_what_extract_returns_becomes_rows(table):
    found = many(table, extract=lambda fit: {"prob": fit.post_prob[0]})
    own = found[found["kind"] == "extracted"]
    assert list(own["name"]) == ["prob"] * 5
    assert own["value"].between(0, 1).all()


def test_data_sets_are_read_as_they_are_needed(table):
    sets = dict(list(table.groupby("meta")))
    read, running = [], []

    class Slow:
        def submit(self, function, /, *arguments):
            job = Future()
            running.append((job, function, arguments))
            if len(running) - len(done) == 4:  # twice the workers: the pool waits
                finish(running[len(done)])
            return job

    done = []

    def finish(one):
        job, function, arguments = one
        done.append(one)
        job.set_result(function(*arguments))

    def datasets():
        for name, data in sets.items():
            read.append(name)
            assert len(read) - len(done) <= 4
            yield name, data
        for one in running[len(done) :]:
            finish(one)

    found = many(datasets(), None, executor=Slow(), cores=2)
    assert len(found["analysis"].unique()) == 5


def test_processes_of_its_own_give_the_same(table, found):
    assert_same(many(table, executor=None, cores=2), found)


def _kills_the_largest(fit):
    if fit.task.effects.K == 6:
        os.kill(os.getpid(), signal.SIGKILL)
    return {}


def test_an_analysis_that_kills_its_worker_is_recorded_and_no_other(table, found):
    with pytest.warns(rb.ConvergenceWarning, match="1 of 5 analyses failed"):
        again = many(table, executor=None, cores=2, extract=_kills_the_largest)
    own = again[again["meta"] == "m4"]
    assert own["error"].str.contains("WorkerError.*died 3 times").all()
    assert_same(
        again[again["meta"] != "m4"].reset_index(drop=True),
        found[found["meta"] != "m4"].reset_index(drop=True),
    )


def test_a_folder_has_the_results_and_nothing_is_done_twice(table, found, tmp_path):
    first = Now()
    assert_same(many(table, results=tmp_path, executor=first), found)
    assert first.jobs == 5
    read = pd.read_parquet(tmp_path)
    assert len(read) == len(found)
    again = Now()
    assert_same(many(table, results=tmp_path, executor=again), found)
    assert again.jobs == 0
    more = pd.concat([table, table[table["meta"] == "m1"].assign(meta="new")])
    many(more, results=tmp_path, executor=again)
    assert again.jobs == 1


def test_without_a_seed_that_of_the_folder_is_taken(table, found, tmp_path):
    many(table[table["meta"] != "m0"], results=tmp_path)
    assert_same(many(table, results=tmp_path, seed=None), found)


SCRIPT = """
import sys
from pathlib import Path
import pandas as pd
import pyrobma as rb

def note(fit):
    Path({done!r}, str(fit.task.effects.K)).open("a").write("x")
    return {{}}

if __name__ == "__main__":
    rb.robma_many(
        pd.read_csv({table!r}), "meta", d="d", se="se", priors_bias=None, seed=1,
        settings=rb.SamplerSettings(chains=2, draws=200, sampler="independence"),
        cores=1, progress=False, results={results!r}, extract=note,
    )
"""


def test_a_killed_run_goes_on_where_it_was(table, found, tmp_path):
    done, results = tmp_path / "done", tmp_path / "results"
    done.mkdir()
    table.to_csv(tmp_path / "table.csv", index=False)
    script = tmp_path / "script.py"
    script.write_text(
        SCRIPT.format(
            done=str(done), results=str(results), table=str(tmp_path / "table.csv")
        )
    )
    run = subprocess.Popen([sys.executable, str(script)], start_new_session=True)
    end = time.monotonic() + PATIENCE
    while len(list(results.glob("one-*.parquet"))) < 2:
        assert time.monotonic() < end
        time.sleep(0.01)
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    before = set(results.glob("one-*.parquet"))
    assert 2 <= len(before) < 5
    subprocess.run([sys.executable, str(script)], check=True, timeout=PATIENCE)
    read = pd.read_parquet(results)
    assert len(read) == len(found)
    own = read.set_index(["meta", "name"])["mean"].dropna().sort_index()
    expected = found.set_index(["meta", "name"])["mean"].dropna().sort_index()
    pd.testing.assert_series_equal(own, expected)
    # Twice at most what was running and not yet written when it was killed.
    twice = [path.name for path in done.iterdir() if path.read_text() == "xx"]
    assert len(twice) <= 1
    assert sum(len(path.read_text()) for path in done.iterdir()) <= 5 + len(twice)


def test_single_files_become_one_and_a_kill_between_leaves_no_row_twice(
    table, found, tmp_path, monkeypatch
):
    monkeypatch.setattr(folders, "_FULL", 2)
    kept = {}
    real = Path.unlink

    def unlink(path, missing_ok=False):
        if path.suffix == ".parquet" and path.exists():
            kept[path] = path.read_bytes()
        real(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", unlink)
    assert_same(many(table, results=tmp_path), found)
    assert len(kept) == 4  # two pairs; the fifth is alone
    assert len(list(tmp_path.glob("many-*.parquet"))) == 2
    for path, content in kept.items():
        path.write_bytes(content)
    again = Now()
    assert_same(many(table, results=tmp_path, executor=again), found)
    assert again.jobs == 0
    assert len(pd.read_parquet(tmp_path)) == len(found)


def test_failures_are_done_again_when_asked(table, found, tmp_path):
    calls = []

    def once(fit):
        calls.append(fit.task.effects.K)
        if fit.task.effects.K == 4 and calls.count(4) == 1:
            raise OSError("the disk is full")
        return {}

    with pytest.warns(rb.ConvergenceWarning, match="the disk is full"):
        many(table, results=tmp_path, extract=once)
    again = Now()
    with pytest.warns(rb.ConvergenceWarning, match="1 of 5 analyses failed"):
        many(table, results=tmp_path, extract=once, executor=again)
    assert again.jobs == 0
    whole = many(table, results=tmp_path, extract=once, executor=again, retry=True)
    assert again.jobs == 1
    assert_same(whole, found)


def test_other_data_or_arguments_in_a_folder_are_refused(table, tmp_path):
    many(table, results=tmp_path)
    changed = table.assign(d=table["d"] + 0.01)
    with pytest.raises(
        rb.DataError, match="has analysis 'm. of other data".replace(". of", ".' of")
    ):
        many(changed, results=tmp_path)
    with pytest.raises(rb.DataError, match="results of other arguments: model_type"):
        many(table, results=tmp_path, priors_bias=rb.DEFAULT, model_type="PP")
    with pytest.raises(rb.DataError, match="results of other arguments: seed"):
        many(table, results=tmp_path, seed=2)
    other = tmp_path / "other"
    other.mkdir()
    table.to_parquet(other / "mine.parquet")
    with pytest.raises(rb.DataError, match="with other Parquet files"):
        many(table, results=other)


def test_a_folder_is_written_by_one_process_at_a_time(table, tmp_path):
    def inner(fit):
        with pytest.raises(rb.DataError, match="another process writes to"):
            many(table, results=tmp_path)
        return {"seen": 1.0}

    found = many(table, results=tmp_path, extract=inner)
    assert (found["kind"] == "extracted").sum() == 5


def test_an_interrupt_hands_over_what_was_finished(table, found, tmp_path):
    def stop(fit):
        if fit.task.effects.K == 3:
            raise KeyboardInterrupt
        return {}

    with pytest.raises(rb.ManyInterrupted) as caught:
        many(table, extract=stop)
    done = list(caught.value.results["meta"].unique())
    assert "m1" not in done
    assert_same(
        caught.value.results,
        found[found["meta"].isin(done)].reset_index(drop=True),
    )
    assert isinstance(caught.value, KeyboardInterrupt)


def test_no_data_give_an_empty_table_with_all_columns(table, found):
    empty = many(table.iloc[:0])
    assert list(empty.columns) == list(found.columns)
    assert len(empty) == 0


def test_polars_tables_give_the_same(table, found):
    polars = pytest.importorskip("polars")
    assert_same(many(polars.DataFrame(table.to_dict("list"))), found)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"by": None}, "^by: expected the name of the column"),
        ({"by": "nothing"}, "^by: expected a column of data, one of meta, d, se"),
        ({"d": [0.1, 0.2]}, "^d: expected the name of a column of every data set"),
        ({"interval": 95}, "^interval: expected a probability"),
        ({"only_priors": True}, "^only_priors: not for many analyses"),
        (
            {"prior_effect": None},
            r"neither an argument .* Did you mean 'priors_effect'",
        ),
        ({"cores": 0}, "^cores: expected a whole number"),
        ({"extract": "mu"}, "^extract: expected a function of a fit"),
        ({"executor": dict}, r"^executor: .* returns .* <class 'dict'> returned {}"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_runs(table, options, match):
    with pytest.raises(rb.PyrobmaError, match=match):
        many(table, **options)


def test_rows_without_a_name_are_refused_with_the_row(table):
    bad = table.copy()
    bad.loc[3, "meta"] = None
    with pytest.raises(rb.DataError, match="got none in row 4"):
        many(bad)


def test_a_name_of_the_results_is_refused_as_that_of_the_analyses(table):
    with pytest.raises(rb.DataError, match=r"^by: .* none of the results', kind, name"):
        many(table.rename(columns={"meta": "kind"}), "kind")


def test_names_that_are_neither_texts_nor_whole_numbers_are_refused(table):
    with pytest.raises(rb.DataError, match=r"got 0\.5 \(float"):
        many(table.assign(meta=0.5))
    with pytest.raises(rb.DataError, match="all texts or all whole numbers; got 'b'"):
        many([(1, table), ("b", table)], None)


def test_threads_of_an_executor_do(table, found):
    with ThreadPoolExecutor(2) as executor:
        assert_same(many(table, executor=executor), found)


def test_warnings_of_threads_are_told_apart_and_the_process_keeps_its_own(table):
    far = table.assign(d=table["d"] - 3.0)
    bias = rb.prior_PET("normal", mean=0, sd=1)
    expected = many(far, priors_bias=bias)
    with warnings.catch_warnings(record=True) as around:
        warnings.simplefilter("always")
        with ThreadPoolExecutor(4) as executor:
            again = many(far, priors_bias=bias, executor=executor, cores=4)
        warnings.warn("heard as before", UserWarning, stacklevel=1)
    pd.testing.assert_series_equal(again["warnings"], expected["warnings"])
    assert [str(one.message) for one in around] == ["heard as before"]


@pytest.mark.parametrize("value", ["much", None, np.array([1.0, 2.0])])
def test_what_is_no_number_is_named_with_its_name(table, value):
    with pytest.warns(rb.ConvergenceWarning, match="extract: .* for 'share'"):
        many(table.iloc[:1], extract=lambda fit: {"share": value})


def test_whole_numbers_that_no_column_can_hold_are_refused(table):
    with pytest.raises(rb.DataError, match=r"got 9223372036854775808\. Give them"):
        many(table.assign(meta=np.uint64(2**63)))


def test_a_column_of_names_that_is_there_twice_is_refused(table):
    with pytest.raises(rb.DataError, match="got 'meta', which 2 columns of data have"):
        many(pd.concat([table, table[["meta"]]], axis=1))


def test_an_index_may_have_the_name_of_the_column(table, found):
    again = many(table.set_index("meta", drop=False))
    again["data_hash"] = found["data_hash"]  # an index with a name is data as well
    assert_same(again, found)


def test_names_of_a_table_or_a_file_are_checked_before_anything_runs(table, tmp_path):
    executor, path = Now(), tmp_path / "data.parquet"
    mixed = table.assign(meta=[*table["meta"][:-1], 1])
    with pytest.raises(rb.DataError, match="all texts or all whole numbers; got 1"):
        many(mixed, executor=executor)
    table.to_parquet(path)  # not sorted, though one piece holds it all
    with pytest.raises(rb.DataError, match="names that occur once"):
        many(path, executor=executor)
    ordered = table.sort_values("meta", ignore_index=True)
    ordered.loc[11, "meta"] = None
    ordered.to_parquet(path, row_group_size=4)
    with pytest.raises(rb.DataError, match="got none in row 12"):
        many(path, executor=executor)
    assert executor.jobs == 0


def test_a_working_directory_that_changes_is_no_matter(
    table, found, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)

    def moves(fit):
        os.chdir("/")
        return {}

    assert_same(many(table, results="here", extract=moves), found)
    assert len(pd.read_parquet(tmp_path / "here")) == len(found)


def test_the_lock_of_a_folder_is_given_back_though_forked_processes_have_it(
    table, found, tmp_path
):
    with ProcessPoolExecutor(2, mp_context=get_context("fork")) as executor:
        for _ in range(2):
            assert_same(many(table, results=tmp_path, executor=executor), found)


def test_a_damaged_file_is_named_and_other_files_are_left_alone(table, found, tmp_path):
    many(table, results=tmp_path)
    table.to_parquet(tmp_path / "mine.parquet")
    (tmp_path / ".mine.part").touch()
    assert_same(many(table, results=tmp_path), found)
    assert (tmp_path / ".mine.part").exists()
    (whole,) = tmp_path.glob("many-*.parquet")
    whole.write_bytes(whole.read_bytes()[:100])
    with pytest.raises(rb.DataError, match=f"{whole.name} cannot be read: .*Delete it"):
        many(table, results=tmp_path)
    whole.unlink()
    assert_same(many(table, results=tmp_path), found)
    (tmp_path / "_arguments.json").write_text("")
    with pytest.raises(rb.DataError, match=r"_arguments.json cannot be read"):
        many(table, results=tmp_path, seed=None)


def test_a_file_that_cannot_be_written_is_named_and_the_same_call_goes_on(
    table, found, tmp_path, monkeypatch
):
    real = pd.DataFrame.to_parquet

    def full(frame, path, **options):
        if len(list(tmp_path.glob("one-*.parquet"))) == 2:
            raise OSError(28, "No space left on device")
        real(frame, path, **options)

    with monkeypatch.context() as patch:
        patch.setattr(pd.DataFrame, "to_parquet", full)
        with pytest.raises(rb.DataError, match=r"cannot be written: .*No space left"):
            many(table, results=tmp_path)
    rest = Now()
    assert_same(many(table, results=tmp_path, executor=rest), found)
    assert rest.jobs == 3


def test_other_names_and_functions_in_a_folder_are_refused(table, tmp_path):
    numbers = table.assign(meta=table["meta"].str[1:].astype(int))
    many(numbers, results=tmp_path)
    with pytest.raises(rb.DataError, match=r"names like \d; got '\d'"):
        many(numbers.assign(meta=numbers["meta"].astype(str)), results=tmp_path)
    with pytest.raises(rb.DataError, match="results of other arguments: by"):
        many(numbers.rename(columns={"meta": "id"}), "id", results=tmp_path)
    # It has no name of its own.
    with pytest.raises(rb.DataError, match="results of other arguments: extract"):
        many(numbers, results=tmp_path, extract=partial(dict, a=1.0))


def test_an_interrupt_comes_back_from_another_process_with_its_results(found):
    again = pickle.loads(pickle.dumps(rb.ManyInterrupted(found)))
    pd.testing.assert_frame_equal(again.results, found)


def test_workers_end_when_their_parent_is_killed(table, tmp_path):
    table.to_csv(tmp_path / "table.csv", index=False)
    script, done = tmp_path / "script.py", tmp_path / "done"
    done.mkdir()
    text = SCRIPT.format(
        done=str(done), results=str(tmp_path / "r"), table=str(tmp_path / "table.csv")
    )
    note = "import os, time\n    Path({!r}).write_text(str(os.getpid()))\n    {}\n    "
    note = note.format(str(tmp_path / "pid"), "time.sleep(600)")
    script.write_text(text.replace("    Path(", f"    {note}Path(", 1))
    run = subprocess.Popen([sys.executable, str(script)])
    end = time.monotonic() + PATIENCE
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        assert time.monotonic() < end
        time.sleep(0.05)
    worker = int((tmp_path / "pid").read_text())
    run.kill()
    run.wait()
    while _runs(worker):
        assert time.monotonic() < end
        time.sleep(0.05)


def _runs(number):
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{number}/stat")  # nobody may have waited for it yet
    return not state.exists() or ") Z " not in state.read_text()
