"""Workers of joblib are not replaced because a network was loaded in one."""

import joblib
from joblib.externals.loky import process_executor

from karyo_lib.machines import keep_worker


def grow(bytes_more: int) -> tuple[int, int]:
    keep_worker()
    grow.kept = bytearray(bytes_more)  # as a network would: it stays
    return bytes_more, process_executor._MAX_MEMORY_LEAK_SIZE


def test_a_worker_may_grow_by_what_a_network_takes():
    found = joblib.Parallel(n_jobs=2)(joblib.delayed(grow)(more) for more in (1, 1, 10, 10))
    assert [more for more, _ in found] == [1, 1, 10, 10]
    assert {limit for _, limit in found} == {4_000_000_000}
