"""The line that shows how far a fit is."""

from __future__ import annotations

import io
import sys
import threading
import time
from concurrent.futures import Future

import numpy as np
import pytest

import pyrobma as rb
from pyrobma.fit import bars, fit_models, plan, progress, sample
from pyrobma.fit.model import fingerprint
from pyrobma.fit.progress import ProgressLine, Stage, Work, part_of_job
from pyrobma.models import Task

SPIKE = (rb.prior("spike", location=0),)
TASK = Task(rb.effect_sizes(d=[0.1, 0.2], se=[0.1, 0.1]), "cohens_d")
# Far longer than the ticks that a test sets, far shorter than anyone waits.
PATIENCE = 10.0


class Screen(io.StringIO):
    """A terminal, or a pipe, that remembers everything."""

    def __init__(self, terminal):
        super().__init__()
        self.terminal = terminal

    def isatty(self):
        return self.terminal

    @property
    def drawn(self):
        return [line.strip() for line in self.getvalue().split("\r") if line.strip()]

    @property
    def left(self):
        """What stays visible, if every line is drawn over the one before."""
        return self.getvalue().rpartition("\r")[2].strip()


class Plain:
    """The least that a future may be: no callbacks."""

    def __init__(self, value):
        self.value = value

    def result(self):
        if isinstance(self.value, Exception):
            raise self.value
        return self.value


class Stub:
    """An executor whose jobs give made-up fits at once."""

    def __init__(self, made, mcse=0.001, failing=(), plain=False):
        self.made, self.mcse, self.failing, self.plain = made, mcse, failing, plain

    def submit(self, function, /, *arguments):
        first = function.__name__ == "fit_model"
        spec = arguments[1] if first else arguments[1].spec
        rng = np.random.default_rng(1)
        value = self.made.fit(
            spec,
            mcse=(self.mcse if first else self.mcse / 10) if spec.free else 0.0,
            draws={name: rng.normal(0.5, 0.1, (2, 20)) for name in spec.free},
            fingerprint=fingerprint(arguments[0], spec, arguments[2]),
        )
        if str(spec) in self.failing:
            value = rb.SamplingError("made to fail")
        if self.plain:
            return Plain(value)
        job = Future()
        if isinstance(value, Exception):
            job.set_exception(value)
        else:
            job.set_result(value)
        return job


@pytest.fixture
def space(made):
    return made.space(hierarchical_null=SPIKE)


@pytest.fixture
def screen(monkeypatch):
    """Put a terminal, or a pipe, in the place of stderr."""

    def put(terminal=True, delay=0.0):
        shown = Screen(terminal)
        monkeypatch.setattr(sys, "stderr", shown)
        monkeypatch.setattr(bars, "QUIET_FOR", delay)
        return shown

    return put


@pytest.fixture
def every_draw(monkeypatch):
    """Make tqdm draw at every update, not only ten times a second."""
    from tqdm.std import tqdm

    update = tqdm.update

    def refreshed(self, n=1):
        update(self, n)
        self.refresh()

    monkeypatch.setattr(tqdm, "update", refreshed)


def test_a_pipe_gets_nothing_of_a_short_fit_unless_asked(made, space, screen):
    quiet = screen(terminal=False)
    fit_models(TASK, space, seed=1, executor=Stub(made))
    assert quiet.getvalue() == ""
    fit_models(TASK, space, seed=1, executor=Stub(made), progress=True)
    assert quiet.getvalue().startswith("pyrobma: 0/6 models, 0 % of the work, 00:00")


def test_a_pipe_gets_whole_lines_a_tenth_of_the_work_apart(screen):
    quiet = screen(terminal=False)
    jobs = {i: Work(f"model {i + 1}", 1.0) for i in range(60)}
    with ProgressLine(jobs, True, "models") as line:
        for i in jobs:
            line.finished(i)
    lines = quiet.getvalue().splitlines()
    assert "\r" not in quiet.getvalue()
    counts = [int(line.split()[1].partition("/")[0]) for line in lines]
    assert counts == [0, 6, 12, 18, 24, 30, 36, 42, 48, 54, 60]
    assert "50 % of the work" in lines[5]
    assert lines[5].endswith(" left")


def test_a_pipe_gets_a_line_unasked_when_a_fit_takes_long(screen, monkeypatch):
    monkeypatch.setattr(progress, "TICK", 0.01)
    monkeypatch.setattr(bars, "LINE_EVERY", 0.02)
    quiet = screen(terminal=False)
    with ProgressLine({0: Work("model 1 (mu)", 1.0)}, None, "models") as line:
        line.started()
        _wait(lambda: quiet.getvalue().count("\n") > 1)
    assert quiet.getvalue().startswith("pyrobma: 0/1 models, 0 % of the work")


def test_nobody_who_refuses_progress_gets_any(made, space, screen, monkeypatch):
    monkeypatch.setattr(bars, "LINE_EVERY", 0.0)
    for terminal in (True, False):
        shown = screen(terminal)
        fit_models(TASK, space, seed=1, executor=Stub(made), progress=False)
        assert shown.getvalue() == ""


def test_a_notebook_without_widgets_gets_the_line(made, space, screen, monkeypatch):
    shown = screen(terminal=False)
    monkeypatch.setattr(bars, "in_notebook", lambda: True)
    monkeypatch.setattr(bars, "find_spec", lambda name: None)
    fit_models(TASK, space, seed=1, executor=Stub(made))
    assert shown.drawn[0].startswith("0/6 models |")


def test_parts_of_a_job_fill_what_is_left_of_it_and_never_go_back():
    stage, seen, gauge = Stage(), [], [0.0]
    progress._here.stage = stage
    try:
        seen.append(stage.done)
        with part_of_job(0.5):
            seen.append(stage.done)  # without a gauge it is done at the end
        with part_of_job(0.5, lambda: gauge[0]):
            for gauge[0] in (0.0, 0.5, 1.0):
                seen.append(stage.done)
        seen.append(stage.done)
    finally:
        del progress._here.stage
    assert seen == [0.0, 0.0, 0.5, 0.625, 0.75, 0.75]


def test_chains_tell_how_far_they_are_by_the_last_line_of_each(tmp_path):
    line = "Iteration: {:4d} / 2000 [  0%]  (Sampling)\n"
    (tmp_path / "a-stdout.txt").write_text("x" * 999 + "\n" + line.format(1000))
    (tmp_path / "b-stdout.txt").write_text(line.format(1) + line.format(500))
    (tmp_path / "c-stdout.txt").write_text("")
    assert sample._done(tmp_path, 4) == (0.5 + 0.25) / 4
    assert sample._done(tmp_path / "gone", 4) == 0.0


def test_the_bar_moves_while_the_only_model_is_fitted(screen, monkeypatch):
    shares = []
    update = bars.Lines.update

    def noted(self, n):
        update(self, n)
        shares.append(self._done / self._total)

    monkeypatch.setattr(progress, "TICK", 0.01)
    monkeypatch.setattr(bars.Lines, "update", noted)
    screen(terminal=False)
    one = rb.model_space(effect=rb.default_priors("effect"), heterogeneity_null=SPIKE)
    settings = rb.SamplerSettings(chains=2, warmup=500, draws=20_000)
    fit_models(TASK, one, settings=settings, seed=1, cores=1, progress=True)
    assert shares == sorted(shares)
    assert len({share for share in shares if 0.3 < share < 0.79}) > 3
    assert shares[-1] == 1.0


def test_a_terminal_gets_the_line_unless_refused(made, space, screen):
    shown = screen()
    fit_models(TASK, space, seed=1, executor=Stub(made), progress=False)
    assert shown.getvalue() == ""
    fit_models(TASK, space, seed=1, executor=Stub(made))
    assert shown.drawn[0].startswith("0/6 models |")


def test_a_process_without_stderr_fits_quietly(made, space, monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    assert len(fit_models(TASK, space, seed=1, executor=Stub(made))) == 8


def test_a_short_fit_shows_no_line_unasked(made, space, screen):
    shown = screen(delay=PATIENCE)
    fit_models(TASK, space, seed=1, executor=Stub(made))
    assert shown.left == ""
    assert shown.drawn == []


@pytest.mark.parametrize("plain", [False, True])
def test_every_model_is_counted_once_whatever_the_future_can(
    made, space, screen, every_draw, plain
):
    shown = screen()
    fit_models(TASK, space, seed=1, executor=Stub(made, plain=plain), progress=True)
    counts = dict.fromkeys(line.partition(" models")[0] for line in shown.drawn)
    assert list(counts) == [f"{done}/6" for done in range(7)]
    assert shown.left == ""


def test_the_first_unfinished_model_is_named_by_number_and_parameters(
    made, space, screen, every_draw
):
    shown = screen()
    fit_models(TASK, space, seed=1, executor=Stub(made), progress=True)
    after_one = next(line for line in shown.drawn if line.startswith("1/6"))
    # The model with three parameters is done; the next in line has two.
    assert space.models[3].free == ("tau", "rho")
    assert after_one.endswith(", model 4 (tau, rho)")
    before_last = [line for line in shown.drawn if line.startswith("5/6")][-1]
    assert before_last.endswith(", model 1")


def test_rounds_of_extension_are_shown(made, space, screen):
    shown = screen()
    stub = Stub(made, mcse=0.05)
    fit_models(TASK, space, seed=1, executor=stub, progress=True)
    assert any(line.startswith("0/5 refined |") for line in shown.drawn)
    assert shown.left == ""


def test_nothing_is_shown_when_nothing_is_left_to_fit(made, space, screen):
    known = fit_models(TASK, space, seed=1, executor=Stub(made))
    shown = screen()
    fit_models(TASK, space, seed=1, executor=Stub(made), fits=known, progress=True)
    assert shown.getvalue() == ""


def test_no_line_stays_after_a_failure_and_no_clock(made, space, screen):
    before = threading.active_count()
    shown = screen()
    stub = Stub(made, failing=(str(space.models[3]),))
    with pytest.raises(rb.FitError, match="made to fail") as caught:
        fit_models(TASK, space, seed=1, executor=stub, progress=True)
    assert len(caught.value.fits) == 5
    assert shown.left == ""
    _wait(lambda: threading.active_count() == before)


def test_the_clock_goes_on_while_a_model_takes_long(screen, monkeypatch):
    monkeypatch.setattr(progress, "TICK", 0.01)
    shown = screen()
    with ProgressLine({0: Work("model 1 (mu)", 1.0)}, True, "models") as line:
        line.started()
        _wait(lambda: len(shown.drawn) > 3)
    assert shown.drawn[-1].endswith("model 1 (mu)")
    assert shown.left == ""


@pytest.mark.parametrize(
    ("width", "shown"),
    [(120, "model 12 (mu, tau, omega)"), (60, "model 12 (mu, tau, …"), (40, "")],
)
def test_long_names_are_cut_with_a_mark_or_left_out(width, shown):
    text = progress._shortened("model 12 (mu, tau, omega)", width - 40)
    assert text == shown


def test_the_draws_are_the_same_with_and_without_the_line(screen):
    screen()
    space = rb.model_space(
        effect=rb.default_priors("effect"), heterogeneity_null=SPIKE, effect_null=SPIKE
    )
    few = rb.SamplerSettings(chains=2, warmup=150, draws=100, max_draws=100)
    with_line, without = (
        fit_models(TASK, space, settings=few, seed=1, progress=show)
        for show in (True, False)
    )
    assert with_line[1].logml == without[1].logml
    np.testing.assert_array_equal(with_line[1].chains.draws, without[1].chains.draws)


def test_an_interrupt_starts_no_further_model(space, monkeypatch, screen):
    shown = screen()
    started = []

    def interrupted(*arguments):
        started.append(arguments)
        time.sleep(0.05)
        raise KeyboardInterrupt

    monkeypatch.setattr(plan, "fit_model", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fit_models(TASK, space, seed=1, cores=1, progress=True)
    # The one that ran when the first was noticed, perhaps, but not all six.
    assert len(started) <= 3
    assert shown.left == ""


class Broken(Screen):
    """A terminal that is gone after some writes, as one that was closed is."""

    def __init__(self, error, after):
        super().__init__(terminal=True)
        self.error, self.after, self.writes = error, after, 0

    def write(self, text):
        self.writes += 1
        if self.writes > self.after:
            raise self.error
        return super().write(text)


@pytest.mark.parametrize("after", [0, 3])
@pytest.mark.parametrize(
    "error", [BrokenPipeError(32, "Broken pipe"), ValueError("closed"), OSError(5, "")]
)
def test_a_terminal_that_goes_away_does_not_stop_the_fit(
    made, space, monkeypatch, every_draw, error, after
):
    gone = Broken(error, after)
    monkeypatch.setattr(sys, "stderr", gone)
    fits = fit_models(TASK, space, seed=1, executor=Stub(made), progress=True)
    assert len(fits) == 8
    assert gone.writes == after + 1  # it is not tried again


@pytest.mark.parametrize("show", [None, True])
def test_a_closed_or_absent_stderr_does_not_stop_the_fit(
    made, space, monkeypatch, show
):
    closed = Screen(terminal=True)
    closed.close()
    for stderr in (closed, None):
        monkeypatch.setattr(sys, "stderr", stderr)
        fits = fit_models(TASK, space, seed=1, executor=Stub(made), progress=show)
        assert len(fits) == 8


def _wait(happened):
    end = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.005)
