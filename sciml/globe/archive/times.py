"""Times of an archive: seconds since 1970, the step between them, and the gaps.

Monthly means are evenly spaced by the calendar, not by the clock: their step is the mean month.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import xarray

from sciml.contracts import UserError

#: Mean month of the Gregorian calendar, s: 365.2425 days / 12.
MONTH = 2_629_746
STANDARD = ("standard", "gregorian", "proleptic_gregorian")


def seconds(dates: Sequence[str] | np.ndarray) -> np.ndarray:
    """`[T]` int64 seconds since 1970-01-01 of ISO dates or `datetime64`.

    Raises:
        UserError: not a date.
    """
    try:
        found = np.asarray([*map(str, dates)] if not isinstance(dates, np.ndarray) else dates)
        return found.astype("datetime64[s]").astype(np.int64)
    except ValueError as error:
        raise UserError(
            f"times: expected dates such as 2000-01-31T06:00, got {dates!r:.80}"
        ) from error


def decoded(data: xarray.Dataset, axis: str, stamps: np.ndarray | None, where: str) -> np.ndarray:
    """`[T]` seconds since 1970-01-01 of a time axis as it is stored, or as the user says it is.

    Raises:
        UserError: no units, units without a fixed length, another calendar than ours.
    """
    size = data.sizes[axis]
    if stamps is not None:
        if len(stamps) != size:
            raise UserError(f"{where}: expected {size} dates in times=, got {len(stamps)}")
        return seconds(list(stamps))
    attributes = data[axis].attrs if axis in data.variables else {}
    units, calendar = str(attributes.get("units", "")), str(attributes.get("calendar", "standard"))
    remedy = "give the dates by described.times=[…]"
    if " since " not in units or units.split()[0] in ("months", "month", "years", "year"):
        raise UserError(
            f"{where}: expected units of the axis {axis!r} such as 'hours since 1970-01-01', got "
            f"{units!r}; {remedy}"
        )
    if calendar.lower() not in STANDARD:
        raise UserError(f"{where}: expected the Gregorian calendar, got {calendar!r}; {remedy}")
    try:
        dates = xarray.decode_cf(data[[axis]])[axis].values.astype("datetime64[s]")
    except (ValueError, TypeError, OverflowError) as error:
        raise UserError(f"{where}: times in {units!r} cannot be read; {remedy}") from error
    return dates.astype(np.int64)


def within(times: np.ndarray, period: Sequence[str] | None) -> np.ndarray:
    """Those from the first to the last date, both included; `2001` as last date is all of 2001.

    Raises:
        UserError: none are left.
    """
    if period is None:
        return times
    first, last = _bounds(period)
    chosen = times[(times >= first) & (times < last)]
    if len(chosen) == 0:
        held = f"{iso(times[0])} … {iso(times[-1])}" if len(times) else "none at all"
        raise UserError(
            f"period: expected times from {period[0]} to {period[1]} in the archive, got {held}"
        )
    return chosen


def _bounds(period: Sequence[str]) -> tuple[int, int]:
    """Seconds `[first, beyond the last)`."""
    if isinstance(period, str) or len(period) != 2:
        raise UserError(f"period: expected first and last date, got {period!r}")
    try:
        first, last = (np.datetime64(str(date)) for date in period)
    except ValueError as error:
        raise UserError(f"period: expected dates such as 2000-01-31, got {period!r}") from error
    return _stamp(first), _stamp(last + 1)


def _stamp(date: np.datetime64) -> int:
    return int(date.astype("datetime64[s]").astype(np.int64))


def iso(time: int) -> str:
    """`2000-01-31T06:00`, for messages."""
    return str(np.datetime64(int(time), "s"))[:16]


def spacing(times: np.ndarray) -> int | None:
    """The step between most of them, s; the mean month of monthly data; None of a single time."""
    if len(times) < 2:
        return None
    steps, counts = np.unique(np.diff(times), return_counts=True)
    if len(steps) > 1 and steps[0] >= 28 * 86400 and np.median(np.diff(times)) <= 31 * 86400:
        return MONTH
    return int(steps[np.argmax(counts)])


def runs(times: np.ndarray, step: int | None) -> tuple[tuple[int, int], ...]:
    """Stretches `[start, stop)` of times that follow one another without a gap."""
    if step is None:
        return ((0, len(times)),)
    breaks = np.flatnonzero(~_follows(times, step)) + 1
    return tuple(pairwise([0, *breaks.tolist(), len(times)]))


def _follows(times: np.ndarray, step: int) -> np.ndarray:
    """`[T - 1]` whether each time is one step after the one before."""
    if step != MONTH:
        return np.diff(times) == step
    dates = times.astype("datetime64[s]")
    months = dates.astype("datetime64[M]")
    within = (dates - months.astype("datetime64[s]")).astype(np.int64)
    even = np.abs(np.diff(within)) <= 4 * 86400  # mid-month dates move by the month's length
    return (np.diff(months.astype(np.int64)) == 1) & even


def require_ascending(times: np.ndarray, where: str) -> None:
    """Refuses times that do not ascend or come twice.

    Raises:
        UserError: names the first of them.
    """
    change = np.diff(times)
    if (change < 0).any():
        at = int(np.argmax(change < 0))
        raise UserError(
            f"{where}: expected times in ascending order, got {iso(times[at + 1])} after "
            f"{iso(times[at])}; sort the archive by time"
        )
    if (change == 0).any():
        twice = iso(times[int(np.argmax(change == 0))])
        raise UserError(f"{where}: expected every time once, got {twice} twice; remove one of them")


def require_even(times: np.ndarray, step: int | None, gaps: str, where: str) -> None:
    """Refuses gaps in time, unless `gaps="allowed"`.

    Raises:
        UserError: names the first gap.
    """
    if gaps not in ("refused", "allowed"):
        raise UserError(f"gaps: expected 'refused' or 'allowed', got {gaps!r}")
    found = runs(times, step)
    if gaps == "refused" and step is not None and len(found) > 1:
        stop = found[0][1]
        raise UserError(
            f"{where}: expected a time every {describe(step)}, got {iso(times[stop])} after "
            f"{iso(times[stop - 1])}, one of {len(found) - 1} gaps; complete the archive, or set "
            "gaps=allowed: windows then never cross one"
        )


def describe(step: int) -> str:
    """`6 h`, `1 month`."""
    if step == MONTH:
        return "month"
    hours = step / 3600
    return f"{hours:g} h" if step >= 3600 else f"{step} s"
