"""A mergeable histogram of durations: bucket -> count, 16 buckets to each doubling.

The middle of a bucket is off by at most 1/32 of the true value. Histograms are merged by adding counts, so that the
percentile of an hour comes from its minutes; percentiles themselves are never averaged.
"""

from collections.abc import Mapping

Histogram = dict[int, int]


def bucket_of(duration_us: int) -> int:
    """Whole microseconds; below 32 each has a bucket of its own."""
    if duration_us < 32:
        return max(duration_us, 0)
    shift = duration_us.bit_length() - 5
    return (shift << 4) + (duration_us >> shift)


def middle_us(bucket: int) -> float:
    if bucket < 32:
        return float(bucket)
    shift = (bucket >> 4) - 1
    return ((bucket - (shift << 4)) << shift) + (1 << shift) / 2


def add(total: Histogram, part: Mapping[int, int]) -> None:
    for bucket, count in part.items():
        total[bucket] = total.get(bucket, 0) + count


def subtract(total: Histogram, part: Mapping[int, int]) -> None:
    """`part` must have been added before."""
    for bucket, count in part.items():
        if total[bucket] == count:
            del total[bucket]
        else:
            total[bucket] -= count


def percentile_us(histogram: Mapping[int, int], share: float) -> float | None:
    """The duration that `share` (above 0, up to 1) of all do not exceed; None if there are none."""
    missing = share * sum(histogram.values())
    bucket = None
    for bucket in sorted(histogram):
        missing -= histogram[bucket]
        if missing <= 0:
            break
    return None if bucket is None else middle_us(bucket)
