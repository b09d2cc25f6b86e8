"""Opening ahead: order, how far, what happens to what nobody takes; and following behind."""

from __future__ import annotations

import threading
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distilcli.prefetch import Ahead, Behind, Stopped

NOBODY = pytest.fail


@given(st.lists(st.integers(), max_size=20), st.integers(1, 6))
def test_results_come_in_order(items: list[int], jobs: int) -> None:
    ahead = Ahead(items, lambda item, check: item * 2, NOBODY, jobs)
    assert list(ahead.results()) == [2 * item for item in items]


def test_one_job_does_nothing_before_it_is_asked_for() -> None:
    begun: list[int] = []

    def opened(item: int, check: object) -> int:
        begun.append(item)
        return item

    results = Ahead([1, 2, 3], opened, NOBODY, 1).results()
    assert begun == []
    assert next(results) == 1
    assert begun == [1]


def test_what_was_begun_is_being_opened_before_it_is_asked_for() -> None:
    begun = {item: threading.Event() for item in range(3)}

    def opened(item: int, check: object) -> int:
        begun[item].set()
        return item

    ahead = Ahead(begun, opened, NOBODY, 1)
    ahead.begin()
    assert begun[0].wait(30)
    results = ahead.results()
    assert next(results) == 0
    assert not begun[1].is_set()
    assert list(results) == [1, 2]


def test_what_was_begun_for_nobody_is_closed() -> None:
    ready, closed = threading.Event(), list[int]()

    def opened(item: int, check: object) -> int:
        ready.set()
        return item

    ahead = Ahead([7, 8], opened, closed.append, 1)
    ahead.begin()
    assert ready.wait(30)
    ahead.close()
    assert closed == [7]


def test_several_are_opened_at_a_time_and_no_more() -> None:
    together = threading.Barrier(3)  # would never open with fewer than three at a time
    lock, now, most = threading.Lock(), 0, 0

    def opened(item: int, check: object) -> int:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        together.wait(30)
        with lock:
            now -= 1
        return item

    assert list(Ahead(range(9), opened, NOBODY, 3).results()) == list(range(9))
    assert most == 3


def test_what_nobody_takes_is_closed_and_what_goes_on_gives_up() -> None:
    ready, closed, stopped = threading.Event(), [], threading.Event()

    def opened(item: int, check: object) -> int:
        if item == 1:
            ready.set()
        if item == 2:
            assert ready.wait(30)
            try:
                while True:
                    check()  # type: ignore[operator]
            except Stopped:
                stopped.set()
                raise
        return item

    results = Ahead(range(9), opened, closed.append, 3).results()
    assert next(results) == 0
    assert ready.wait(30)
    results.close()
    assert stopped.is_set()
    assert 1 in closed
    assert 0 not in closed


def test_an_error_reaches_whoever_asks() -> None:
    def opened(item: int, check: object) -> int:
        if item == 1:
            raise ValueError("one")
        return item

    results = Ahead(range(3), opened, lambda item: None, 2).results()
    assert next(results) == 0
    with pytest.raises(ValueError, match="one"):
        next(results)


@given(st.lists(st.integers(), max_size=20), st.integers(1, 4))
def test_what_follows_behind_is_done_in_order(items: list[int], most: int) -> None:
    found: list[int] = []
    with Behind(most) as behind:
        for item in items:
            behind.do(partial(found.append, item))
        behind.done()
        assert found == items


def test_who_runs_ahead_has_to_wait() -> None:
    """Whenever a third thing is handed over, the first of the two that waited is done."""
    done: list[int] = []
    with Behind(2) as behind:
        for number in range(10):
            behind.do(partial(done.append, number))
            assert len(done) >= number - 1


def test_what_goes_wrong_behind_is_raised_in_front() -> None:
    def wrong() -> None:
        raise ValueError("wrong")

    with Behind() as behind:
        behind.do(wrong)
        with pytest.raises(ValueError, match="wrong"):
            behind.done()
