"""Runs the whole test suite as two processes side by side, for two cores; the second one's output comes last.

``python scripts/run_tests.py [OPTIONS OF PYTEST]``. A folder that is not named here goes with the rest.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

FIRST = ("routers", "bench", "outcomes", "graphs")
"""About half of the time."""
TESTS = Path(__file__).parents[1] / "tests"


def main() -> int:
    """Returns the worse of the two statuses."""
    options = sys.argv[1:]
    paths = [path for path in sorted(TESTS.iterdir()) if path.is_dir() or path.name.startswith("test_")]
    paths = [path for path in paths if not path.name.startswith(("_", "."))]
    first = [str(path) for path in paths if path.name in FIRST]
    rest = [str(path) for path in paths if path.name not in FIRST]
    command = [sys.executable, "-m", "pytest", *options]
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # more would be in each other's way
    with tempfile.TemporaryFile() as output:
        beside = subprocess.Popen([*command, *first], stdout=output, stderr=subprocess.STDOUT)
        try:
            status = subprocess.run([*command, *rest, str(TESTS.parent / "agentnet")], check=False).returncode
            other = beside.wait()
        finally:
            beside.kill()
        output.seek(0)
        sys.stdout.buffer.write(output.read())
        sys.stdout.flush()
    return max(status, other)


if __name__ == "__main__":
    sys.exit(main())
