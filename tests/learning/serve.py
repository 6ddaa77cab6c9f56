"""A process that serves and learns: python serve.py URL NAME N. N = 0 serves until it is killed."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from doubles import CountingRouter, Script  # type: ignore[import-not-found]

from agentnet import Agent, Pool, Runtime, TraceStore
from agentnet.learning.learner import GatedLearner

POOL = Pool([Agent(name="a", call=lambda text: text.split()[-1])])


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main(url: str, name: str, n: int) -> None:
    router = CountingRouter()
    router.before_learning = lambda: say("learning")
    with TraceStore.open(url, busy_timeout_s=60, flush_s=0.02) as store:
        learner = GatedLearner(router, Script(), store=store, rate=0.5, batch=4, every_s=0.05)
        with learner, Runtime(POOL, router, store=store, observers=[learner]) as runtime:
            for i in range(n) if n else itertools.count():
                runtime.run(f"{name}{i} {'bad' if i % 3 == 2 else 'good'}")
                if i % 10 == 9:
                    store.flush()
                    say(f"flushed {i + 1}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
