from types import SimpleNamespace

import pytest

from components.storage import allowance as allowance_module
from components.storage.allowance import SLOWEST_BYTES_PER_SECOND, Allowance, OutOfTimeError, allowed, current


def test_what_is_used_up_is_said() -> None:
    allowance = Allowance(0)
    with pytest.raises(OutOfTimeError):
        allowance.left()
    assert not isinstance(OutOfTimeError(), OSError)  # or somebody would try again


def test_bytes_give_time_back_but_save_none_up(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(allowance_module, "time", SimpleNamespace(monotonic=lambda: clock.now))
    allowance = Allowance(10)
    clock.now += 4
    assert allowance.left() == 6
    allowance.earn(SLOWEST_BYTES_PER_SECOND)
    assert allowance.left() == 7
    allowance.earn(1000 * SLOWEST_BYTES_PER_SECOND)
    assert allowance.left() == 10
    clock.now += 10
    with pytest.raises(OutOfTimeError):
        allowance.left()


def test_an_operation_inside_another_has_no_more_than_that() -> None:
    assert current() is None
    with allowed(10):
        outer = current()
        with allowed(1000):
            assert current() is outer
        assert current() is outer
    assert current() is None
