from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from agentnet.errors import BackendUnreachable, DataError
from agentnet.runtime.client import ModelClient, Response
from agentnet.runtime.clients.recorded import MissingRecord, RecordedClient, request_key
from agentnet.runtime.clients.scripted import ScriptedClient

from .helpers import backend, request

PRICED = backend(price_in_per_mtok=1, price_out_per_mtok=2)


async def test_what_was_recorded_is_replayed_equal(tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    recorder = RecordedClient.record(ScriptedClient(lambda asked: asked.messages[0].content[::-1]), path)
    first = await recorder.complete(request(PRICED, "abc"))
    streamed = [chunk async for chunk in recorder.stream(request(PRICED, "one two"))][-1].response
    replayed = RecordedClient(path)
    assert isinstance(replayed, ModelClient)
    assert await replayed.complete(request(PRICED, "abc")) == first
    assert [chunk async for chunk in replayed.stream(request(PRICED, "one two"))][-1].response == streamed


async def test_samples_come_in_the_recorded_order_and_then_again(tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    recorder = RecordedClient.record(ScriptedClient(["x", "y"]), path)
    for _ in range(2):
        await recorder.complete(request())
    replayed = RecordedClient(path)
    assert [(await replayed.complete(request())).text for _ in range(5)] == ["x", "y", "x", "y", "x"]


async def test_a_recorded_failure_is_raised_again(tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    with pytest.raises(BackendUnreachable):
        await RecordedClient.record(ScriptedClient([BackendUnreachable("down")]), path).complete(request())
    with pytest.raises(BackendUnreachable, match="down"):
        await RecordedClient(path).complete(request())


async def test_a_missing_record_is_a_typed_error_that_says_how_to_record() -> None:
    with pytest.raises(MissingRecord, match=r"RecordedClient.record\(client, path\)") as caught:
        await RecordedClient([]).complete(request())
    assert isinstance(caught.value, DataError)


def test_the_key_depends_on_what_is_asked_and_not_on_where_or_by_whom() -> None:
    base = request()
    for change in (
        {"temperature": 0.5},
        {"max_tokens": 9},
        {"seed": 1},
        {"stop": ("x",)},
        {"json_schema": {}},
    ):
        assert request_key(replace(base, **change)) != request_key(base), change  # type: ignore[arg-type]
    assert request_key(request(backend(options={"top_p": 0.5}))) != request_key(base)
    assert request_key(request(text="other")) != request_key(base)
    elsewhere = request(backend(options={"api_base": "http://127.0.0.1:1/v1"}, retries=9))
    assert request_key(elsewhere) == request_key(base)
    assert request_key(replace(base, session_id="s", agent="x", timeout_s=3.0)) == request_key(base)
    assert request_key(replace(base, backends={"b": backend("b")})) == request_key(base)


async def test_no_secret_reaches_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", "hush-hush-hush")
    path = tmp_path / "calls.jsonl"
    options = {"api_base": "http://hunter22.example/v1", "extra_headers": {"X": "header-secret"}}
    client = ScriptedClient([Response(text="your key is sk-abcdefghijkl, hush-hush-hush")])
    await RecordedClient.record(client, path).complete(
        request(backend(options=options), "Bearer abcdef12345 at http://me:pa55word@host/v1")
    )
    written = path.read_text()
    for secret in (
        "hush-hush-hush",
        "hunter22",
        "header-secret",
        "sk-abcdefghijkl",
        "abcdef12345",
        "pa55word",
    ):
        assert secret not in written


@pytest.mark.parametrize("text", ["not json", "[1]", '{"key": "x"}'])
def test_a_file_that_is_no_record_file_is_refused_by_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "calls.jsonl"
    path.write_text("\n" + text)
    with pytest.raises(DataError, match="line 2"):
        RecordedClient(path)
    with pytest.raises(DataError, match="cannot read"):
        RecordedClient(tmp_path / "none.jsonl")
