"""A debate: three agents answer, see each other's answers, answer again, and vote.

Run it: python examples/debate_graph.py [FOLDER]   (writes debate.svg and debate.mmd there)
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from pathlib import Path

from agentnet import Agent, Backend, Pool, Runtime
from agentnet.graphs.builders import debate
from agentnet.graphs.draw import to_mermaid, to_svg
from agentnet.runtime.client import Request
from agentnet.testing import ScriptedClient

NAMES = ("ada", "ben", "cyd")
# With a real model: leave out client=... in main() and set the provider's key, such as OPENAI_API_KEY.
small = Backend(name="small", model="openai/gpt-4o-mini")
pool = Pool(Agent(name=name, backend=small, strategy="debate") for name in NAMES)
# At most three rounds; once all agree, the rest is skipped and costs nothing.
graph = debate(NAMES, rounds=3, agreement=1.0)


def debater(request: Request) -> str:
    """Stands for the model: starts with an opinion of its own, then follows the majority it sees."""
    seen = re.findall(r"\[\w+\] (\d+)", request.messages[-1].content)
    opinion = {"ada": "12", "ben": "14", "cyd": "14"}[request.agent or ""]
    if seen:
        opinion = Counter(seen).most_common(1)[0][0]
    return f"I have thought about it.\nAnswer: {opinion}"


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
    with Runtime(pool, client=ScriptedClient(debater)) as runtime:
        result = runtime.run("How many edges has a heptagonal pyramid?", graph).raise_for_status()
    for step in result.steps:
        print(f"round {step.round + 1}  {step.agent}  {'(skipped)' if step.skipped else step.answer}")
    print(f"answer: {result.answer} after {result.calls} calls")
    (folder / "debate.svg").write_text(to_svg(graph), encoding="utf-8")
    (folder / "debate.mmd").write_text(to_mermaid(graph), encoding="utf-8")
    print(to_mermaid(graph))


if __name__ == "__main__":
    main()
