"""The time that a request will take, from what was measured and accepted before."""

import asyncio

import pytest

from engine.serve.batching.forecast import Forecast
from engine.serve.batching.request import Work, WorkOptions


def work(units: int) -> Work:
    """Of texts of 98 characters, which are 26 units each."""
    done = asyncio.Future[None](loop=asyncio.new_event_loop())
    made = Work(["x" * 96] * (units // 26), WorkOptions("mean"), done)
    assert made.units == units
    return made


@pytest.fixture
def forecast() -> Forecast:
    one = Forecast(large=100)
    one.measured(1000, 1.0)
    return one


def test_nothing_is_forecast_before_a_large_batch() -> None:
    forecast = Forecast(large=100)
    forecast.measured(99, 50.0)
    assert forecast.seconds(work(2600)) == forecast.alone(work(2600)) == 0
    forecast.measured(100, 1.0)
    assert forecast.seconds(work(2600)) == forecast.alone(work(2600)) == 26


def test_the_rate_is_a_moving_average(forecast: Forecast) -> None:
    forecast.measured(2000, 1.0)
    assert forecast.rate == pytest.approx(1200)


def test_what_was_accepted_before_comes_first(forecast: Forecast) -> None:
    first = work(2600)
    forecast.accepted(first)
    assert forecast.seconds(work(2600)) == pytest.approx(5.2)
    assert forecast.alone(work(2600)) == pytest.approx(2.6)
    forecast.computed(first, 1300)
    assert forecast.seconds(work(2600)) == pytest.approx(3.9)
    forecast.ended(first)
    assert forecast.seconds(work(2600)) == pytest.approx(2.6)


def test_a_small_request_waits_for_its_own_size_only(forecast: Forecast) -> None:
    for _ in range(3):
        forecast.accepted(work(26_000))
    # One of four requests: a quarter of the rate.
    assert forecast.seconds(work(26)) == pytest.approx(4 * 0.026)
    assert forecast.seconds(work(26_000)) == pytest.approx(4 * 26)


def test_what_ended_counts_no_more(forecast: Forecast) -> None:
    given_up = work(2600)
    forecast.accepted(given_up)
    forecast.ended(given_up)
    forecast.computed(given_up, 26)  # a batch that was under way
    forecast.ended(given_up)
    background = work(2600)
    forecast.computed(background, 26)
    forecast.ended(background)
    assert forecast.seconds(work(2600)) == pytest.approx(2.6)
