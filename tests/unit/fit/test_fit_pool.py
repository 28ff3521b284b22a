"""Jobs on executors that are told to break, and on real ones whose workers die."""

from __future__ import annotations

import os
import pickle
from collections import Counter
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor
from multiprocessing import get_context
from typing import ClassVar

import pytest

import pyrobma as rb
from pyrobma.fit import WorkerError
from pyrobma.fit.pool import MOST_BREAKS, JobPool


class Fragile:
    """An executor that runs jobs when it is asked to, and breaks on a deadly one."""

    made: ClassVar[list[Fragile]] = []

    def __init__(self):
        self.jobs, self.broken = [], False
        Fragile.made.append(self)

    def submit(self, function, /, *arguments):
        if self.broken:
            raise BrokenExecutor("it is broken")
        job = Future()
        self.jobs.append((job, function, arguments))
        return job

    def run(self):
        """Run all jobs; a deadly one takes those down that wait beside it."""
        jobs, self.jobs = self.jobs, []
        for job, function, arguments in jobs:
            if not self.broken:
                try:
                    value = function(*arguments)
                except Deadly:
                    self.broken = True
                else:
                    job.set_result(value)
            if self.broken:
                job.set_exception(BrokenExecutor("a process was killed"))


class Deadly(Exception):
    """What a job raises to take its worker down."""


@pytest.fixture
def made():
    Fragile.made = []
    return Fragile.made


def collected(pool, made):
    """Run everything and return values and errors by key."""
    found, take = {}, pool._take

    def run_first():
        made[-1].run()
        return take()

    pool._take = run_first
    while len(pool):
        ended = pool.next()
        found[ended.key] = ended.error or ended.value
    pool._take = take
    return found


def dies(times, key, runs):
    """Return a job that takes its worker down the first times it is run."""

    def job():
        runs[key] += 1
        if runs[key] <= times:
            raise Deadly
        return key

    return job


def test_jobs_are_handed_back_in_the_order_in_which_they_end():
    jobs = [Future() for _ in range(3)]

    class Slow:
        def submit(self, function, /, *arguments):
            return jobs[arguments[0]]

    pool = JobPool(Slow())
    for i in range(3):
        pool.submit(i, abs, i)
    for i in (2, 0, 1):
        jobs[i].set_result(i)
    assert [pool.next().key for _ in range(3)] == [2, 0, 1]
    assert len(pool) == 0


def test_what_was_running_beside_a_dying_job_is_repeated_and_succeeds(made):
    pool, runs = JobPool(Fragile), Counter()
    pool.submit("first", dies(0, "first", runs))
    pool.submit("dies once", dies(1, "dies once", runs))
    pool.submit("beside", dies(0, "beside", runs))
    found = collected(pool, made)
    assert found == {k: k for k in ("first", "dies once", "beside")}
    assert runs == {"first": 1, "dies once": 2, "beside": 1}
    assert len(made) == 2


def test_a_job_that_always_kills_its_worker_is_reported_and_no_other(made):
    pool, runs = JobPool(Fragile), Counter()
    always = MOST_BREAKS + 1
    for key in ("a", "b", "c"):
        pool.submit(key, dies(0, key, runs))
    pool.submit("deadly", dies(always, "deadly", runs))
    for key in ("d", "e"):
        pool.submit(key, dies(0, key, runs))
    found = collected(pool, made)
    error = found.pop("deadly")
    assert found == {k: k for k in "abcde"}
    assert isinstance(error, WorkerError)
    assert "died 3 times, at last with no other job running" in str(error)
    assert runs["deadly"] == MOST_BREAKS
    # The last time it was alone.
    assert max(runs[k] for k in "abcde") == 1


def test_two_deadly_jobs_are_both_found(made):
    pool, runs = JobPool(Fragile), Counter()
    for key in ("one", "two"):
        pool.submit(key, dies(MOST_BREAKS, key, runs))
    for key in range(5):
        pool.submit(key, dies(0, key, runs))
    found = collected(pool, made)
    assert {k for k, v in found.items() if isinstance(v, WorkerError)} == {"one", "two"}
    assert all(found[k] == k for k in range(5))


def test_an_executor_that_was_given_is_not_replaced_and_the_error_says_how(made):
    pool = JobPool(Fragile())
    runs = Counter()
    pool.submit("deadly", dies(9, "deadly", runs))
    found = collected(pool, made)
    assert isinstance(found["deadly"], WorkerError)
    assert "Give a function that makes executors" in str(found["deadly"])
    pool.submit("later", dies(0, "later", runs))
    assert isinstance(collected(pool, made)["later"], WorkerError)
    assert len(made) == 1


def test_an_executor_that_cannot_be_made_again_fails_what_was_left(made):
    class Once:
        count = 0

        def __call__(self):
            self.count += 1
            if self.count > 1:
                raise OSError("no more processes")
            return Fragile()

    pool, runs = JobPool(Once()), Counter()
    pool.submit("deadly", dies(1, "deadly", runs))
    pool.submit("beside", dies(0, "beside", runs))
    found = collected(pool, made)
    assert {str(error) for error in found.values()} == {"no more processes"}


def test_a_job_that_cannot_be_sent_is_handed_back_with_its_error():
    class Refuses:
        def submit(self, function, /, *arguments):
            raise pickle.PicklingError("a lambda")

    pool = JobPool(Refuses())
    pool.submit(1, abs, -1)
    assert isinstance(pool.next().error, pickle.PicklingError)


@pytest.mark.parametrize("wrong", ["threads", 4, object()])
def test_what_is_no_executor_is_refused(wrong):
    with pytest.raises(rb.SettingsError, match=r"^executor: expected an object with"):
        rb.robma(d=[0.1, 0.2], se=[0.1, 0.1], priors_bias=None, executor=wrong)


def test_a_killed_process_of_a_real_pool_is_replaced():
    def processes():
        return ProcessPoolExecutor(2, mp_context=get_context("spawn"))

    pool = JobPool(processes)
    pool.submit("deadly", os._exit, 3)
    for i in range(4):
        pool.submit(i, pow, 2, i)
    found = {}
    while len(pool):
        ended = pool.next()
        found[ended.key] = ended.error or ended.value
    assert isinstance(found.pop("deadly"), WorkerError)
    assert found == {i: 2**i for i in range(4)}
    pool._executor.shutdown()
