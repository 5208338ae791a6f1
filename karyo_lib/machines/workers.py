"""Worker processes of joblib that load networks."""

import joblib
from joblib.externals.loky import process_executor

_MOST_GROWTH = 4_000_000_000  # bytes


def keep_worker() -> None:
    """Let this worker grow by what a network and its engine take; called first in a job that may load one.
    Loky takes a worker that has grown by 300 MB for one that leaks; where several leave at once, the parent
    and the last of them can wait for each other for ever (seen with joblib 1.5)."""
    process_executor._MAX_MEMORY_LEAK_SIZE = _MOST_GROWTH


def count_processes(pieces: int, least: int) -> int:
    """How many processes share so many pieces of work: at most one a core, each with ``least`` or more."""
    return max(1, min(joblib.cpu_count(), pieces // least))
