from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from agentnet.errors import InvalidInput
from agentnet.runtime.embedded.engine import Completion, EmbeddedEngine, EngineError, PromptTooLong, Slots


async def test_a_completion_holds_text_and_usage(engine, server) -> None:
    done = await engine.acomplete("Q: 1\n", stop=("\n\n",), max_tokens=5)
    assert done == Completion(
        text="print(1) ", prompt_tokens=9, completion_tokens=2, cached_tokens=4, finish_reason="stop"
    )
    request = server.requests[0]
    assert (request["temperature"], request["stop"], request["max_tokens"]) == (0.0, ["\n\n"], 5)


def test_the_sync_form_gives_the_same(engine) -> None:
    assert engine.complete("Q") == asyncio.run(engine.acomplete("Q"))


async def test_a_stream_gives_pieces_and_then_the_whole(engine, server) -> None:
    server.answer = "a b c"
    parts = [part async for part in engine.astream("Q")]
    assert parts[:-1] == ["a", " b", " c"]
    assert parts[-1].text == "a b c"


async def test_beginnings_keep_their_slots(engine, server) -> None:
    for prompt, prefix in (("A1", "A"), ("B1", "B"), ("A2", "A"), ("X", None)):
        await engine.acomplete(prompt, prefix=prefix)
    assert [request["id_slot"] for request in server.requests] == [1, 2, 1, 0]


def test_the_longest_unused_beginning_gives_up_its_slot() -> None:
    slots = Slots(3)
    assert [slots.of(prefix) for prefix in "aba"] == [1, 2, 1]
    assert slots.of("c") == 2
    assert slots.of("a") == 1
    assert slots.of("b") == 2


def test_calls_are_never_side_by_side(engine, server) -> None:
    everyone_asked = threading.Event()
    server.before_piece = lambda number: everyone_asked.wait(5) and None
    threads = [threading.Thread(target=engine.complete, args=(f"Q{i}",)) for i in range(4)]
    for thread in threads:
        thread.start()
    everyone_asked.set()
    for thread in threads:
        thread.join()
    assert len(server.requests) == 4 and not server.overlapped


async def test_a_cancelled_call_stops_the_model(engine, server) -> None:
    server.answer = "a b c d e f"
    reached, go = threading.Event(), threading.Event()

    def before(number: int) -> None:
        if number == 1:
            reached.set()
            go.wait(5)

    server.before_piece = before
    call = asyncio.create_task(engine.acomplete("Q"))
    await asyncio.to_thread(reached.wait, 5)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    go.set()
    await asyncio.to_thread(engine.close)
    assert server.sent == 2


async def test_a_call_cancelled_while_it_waits_never_reaches_the_model(engine, server) -> None:
    reached, go = threading.Event(), threading.Event()
    server.before_piece = lambda number: reached.set() or (go.wait(5) and None)
    first = asyncio.create_task(engine.acomplete("first"))
    await asyncio.to_thread(reached.wait, 5)
    second = asyncio.create_task(engine.acomplete("second"))
    await asyncio.sleep(0)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    go.set()
    await first
    await asyncio.to_thread(engine.close)
    assert [request["prompt"] for request in server.requests] == ["first"]


async def test_leaving_a_stream_early_stops_the_model(engine, server) -> None:
    server.answer = " ".join("x" for _ in range(50))
    go = threading.Event()
    server.before_piece = lambda number: go.wait(5) and None if number == 1 else None
    stream = engine.astream("Q")
    assert await anext(stream) == "x"
    await stream.aclose()
    go.set()
    await asyncio.to_thread(engine.close)
    assert server.sent < 50


async def test_a_long_prompt_is_told_from_other_failures(engine, server) -> None:
    server.error = {"message": "the request exceeds the available context size", "type": "x"}
    with pytest.raises(PromptTooLong):
        await engine.acomplete("Q")
    server.error = {"message": "out of memory"}
    with pytest.raises(EngineError, match="out of memory"):
        await engine.acomplete("Q")


def test_a_prefix_must_be_one(engine) -> None:
    with pytest.raises(InvalidInput, match="prefix"):
        engine.complete("abc", prefix="b")


def test_a_closed_engine_says_so(gguf: Path, server) -> None:
    engine = EmbeddedEngine(gguf, start=lambda *_: server)
    engine.close()
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        engine.complete("Q")


def test_the_model_is_loaded_with_the_first_call(gguf: Path, server) -> None:
    started = []
    with EmbeddedEngine(gguf, slots=4, context=99, start=lambda *a: started.append(a) or server) as engine:
        assert not started
        engine.complete("Q")
        engine.complete("Q")
    assert started == [(gguf, 4, 99, 1)]


@pytest.mark.model
async def test_the_real_model_reads_a_beginning_once_and_repeats_itself(real_engine) -> None:
    head = "Add.\n\nQuestion: 1 + 1\nProgram:\nprint(1 + 1)\n\nQuestion: 5 + 4\nProgram:\nprint(5 + 4)\n\n"
    prompts = [f"{head}Question: {text}\nProgram:\n" for text in ("20 + 31", "62 + 17", "62 + 17")]
    first, second, third = [
        await real_engine.acomplete(prompt, prefix=head, stop=("\n\n",), max_tokens=16) for prompt in prompts
    ]
    assert first.cached_tokens == 0 and second.cached_tokens > 30
    assert second.text.strip() == third.text.strip() == "print(62 + 17)"
    with pytest.raises(PromptTooLong):
        await real_engine.acomplete("word " * 2000)
