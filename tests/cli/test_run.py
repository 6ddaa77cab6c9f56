"""`run`: a pipeline from a Python or YAML file, live."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agentnet.testing import ChatServer

PYTHON = """
from agentnet import Agent, Pool
pool = Pool([Agent(name="shout", call=lambda text: text.upper())])
two = Pool([Agent(name="chef", call=lambda text: "cooked"), Agent(name="solver", call=lambda text: "solved")])
"""
DB = "sqlite:///agentnet.db"


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    file = tmp_path / "pipeline.py"
    file.write_text(PYTHON)
    return file


@pytest.fixture
def server() -> Iterator[ChatServer]:
    """A chat server on loopback, served by a thread of its own."""
    made = ChatServer(answer=lambda body: f"echo {body['messages'][-1]['content']}")
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    asyncio.run_coroutine_threadsafe(made.start(), loop).result()
    yield made
    asyncio.run_coroutine_threadsafe(made.stop(), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def yaml_spec(folder: Path, url: str) -> Path:
    file = folder / "pipeline.yaml"
    file.write_text(
        f"""
backends:
  - name: local
    model: openai/tiny
    price_in_per_mtok: "1"
    price_out_per_mtok: "2"
    retries: 0
    timeout_s: 120
    options: {{api_base: "{url}", api_version: null}}
agents:
  - {{name: one, backend: local}}
  - {{name: two, backend: local}}
graph:
  nodes: [{{id: one, agent: one}}, {{id: two, agent: two}}]
""".replace(", api_version: null", "")
    )
    return file


def test_the_only_agent_of_a_python_file_answers_and_is_logged(cli: Any, spec: Path) -> None:
    done = cli("run", spec, "hello")
    assert (done.status, done.out) == (0, "HELLO\n")
    assert "shout" in done.err
    assert "HELLO" in cli("traces", "ls").out
    assert cli("run", spec, "hello", "--db", "").status == 0
    assert cli("traces", "stats").out.startswith("runs: 1 (1 ok)")


def test_a_router_or_an_agent_decides_in_a_larger_pool(cli: Any, spec: Path, knn: Path) -> None:
    done = cli("run", f"{spec}:two", "solve the equation for its root", "--router", knn)
    assert done.out == "solved\n"
    done = cli("run", f"{spec}:two", "simmer the onion in butter", "--router", knn)
    assert done.out == "cooked\n"
    assert cli("run", f"{spec}:two", "anything", "--agent", "chef").out == "cooked\n"
    done = cli("run", f"{spec}:two", "anything")
    assert done.status == 2 and "--router DIR or --agent NAME" in done.error
    assert "no agent 'nobody'" in cli("run", f"{spec}:two", "x", "--agent", "nobody").error


def test_a_question_may_come_from_standard_input(
    cli: Any, spec: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stdin(data: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))

    stdin("größe".encode())
    assert cli("run", spec, "-").out == "GRÖSSE\n"
    stdin(b"a" * 1_000_000)
    done = cli("run", spec, "-")
    assert done.status == 2 and "1,000,000 characters" in done.error
    stdin(b"caf\xe9")
    done = cli("run", spec, "-")
    assert done.status == 2 and "not valid Unicode" in done.error


def test_text_that_is_not_utf8_is_refused(cli: Any, spec: Path, tmp_path: Path) -> None:
    # The way in which Python hands over an argument's bytes that are not UTF-8.
    assert "not valid Unicode" in cli("run", spec, b"caf\xe9".decode("utf-8", "surrogateescape")).error
    (tmp_path / "notes.txt").write_bytes(b"\xff\xfe")
    assert "context" in cli("run", spec, "hello", "--context", "notes.txt").error
    assert cli("run", spec, "hello", "--context", "missing.txt").status == 2
    assert cli("run", spec, " ").error == "error: a task's text is empty."


def test_a_budget_of_zero_is_refused_before_anything_runs(cli: Any, spec: Path) -> None:
    for option in ("--max-usd", "--max-seconds"):
        done = cli("run", spec, "hello", option, "0")
        assert done.status == 2 and "must be above zero" in done.error
    assert cli("run", spec, "hello", "--max-usd", "much").status == 2
    assert not Path("agentnet.db").exists()


def test_a_yaml_pipeline_calls_models_and_counts_their_cost(
    cli: Any, server: ChatServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    file = yaml_spec(tmp_path, server.url)
    # A process of its own: there both agents want LiteLLM at once, before it has been imported.
    done = subprocess.run(
        [sys.executable, "-m", "agentnet.cli.main", "run", file, "two words"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == "echo two words\n"
    assert "2 calls" in done.stderr and "$0.000016" in done.stderr
    streamed = cli("run", file, "two words", "--stream", "--agent", "one")
    assert streamed.out == "echo two words\n" and "[one]" in streamed.err
    shown = cli("traces", "show", json.loads(first_id(cli)))
    assert "answer: echo two words" in shown.out


def first_id(cli: Any) -> str:
    """The newest run's id as JSON text, cut short as `ls` shows it."""
    lines = [line for line in cli("traces", "ls").out.splitlines() if "echo" in line]
    return json.dumps(lines[0].split()[0])


def test_streaming_shows_an_answer_that_no_model_wrote(cli: Any, spec: Path) -> None:
    assert cli("run", spec, "hello", "--stream").out == "HELLO\n"


def test_an_unreachable_model_is_one_line_that_names_it(
    cli: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    file = yaml_spec(tmp_path, "http://127.0.0.1:9/v1")
    done = cli("run", file, "hello")
    last = done.err.strip().splitlines()[-1]
    assert done.status == 1 and last.startswith("error:") and "'local'" in last
    assert "Traceback" not in done.err and done.out == ""


def test_a_model_that_says_nothing_is_an_error(
    cli: Any, server: ChatServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    server.behaviour = type(server.behaviour)(answer="")
    done = cli("run", yaml_spec(tmp_path, server.url), "hello")
    assert done.status == 1 and "EmptyResponse" in done.err and "Traceback" not in done.err


def test_ctrl_c_ends_a_run_at_once_and_keeps_its_trace(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(
        "import asyncio\nfrom pathlib import Path\nfrom agentnet import Agent, Pool\n"
        "async def sleep(text):\n    Path('started').touch()\n    await asyncio.sleep(600)\n"
        "pool = Pool([Agent(name='slow', call=sleep)])\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "agentnet.cli.main", "run", "slow.py", "hello"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"AGENTNET_CACHE": "off"},
    )
    while not (tmp_path / "started").exists() and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode in (1, 130) and "Traceback" not in err
    from agentnet.traces.store import TraceStore

    with TraceStore.open(tmp_path / "agentnet.db") as store:
        (run,) = store.runs()
    assert run.status == "cancelled" and run.task_text == "hello"
