"""Import of MCP tool lists."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentnet.cards.mcp import aimport_mcp, import_mcp, parse_tools
from agentnet.errors import DataError, InvalidInput
from agentnet.graphs.pool import Pool

WEATHER = {
    "name": "get_weather",
    "title": "Weather",
    "description": "Current weather\nof a place.",
    "inputSchema": {
        "type": "object",
        "properties": {"place": {"type": "string", "description": "Town."}, "api_key": {"type": "string"}},
        "required": ["place"],
    },
    "annotations": {"readOnlyHint": True, "openWorldHint": "yes", "title": "old title"},
}
ALARM = {"name": "set_alarm", "annotations": {"title": "Alarm", "destructiveHint": False}}


@pytest.mark.parametrize(
    "form",
    [
        lambda tools: tools,
        lambda tools: {"tools": tools},
        lambda tools: {"jsonrpc": "2.0", "id": 1, "result": {"tools": tools, "nextCursor": ""}},
    ],
    ids=["list", "result", "envelope"],
)
def test_a_tool_is_an_agent(form: Any) -> None:
    weather, alarm = parse_tools(form([WEATHER, ALARM]))
    assert weather.name == "get_weather" and weather.strategy == "mcp"
    assert weather.description == "Weather: Current weather of a place. Takes: place (Town), api_key."
    assert dict(weather.options) == {"tool": "get_weather", "readOnlyHint": True}
    assert alarm.description == "Alarm." and alarm.options["destructiveHint"] is False


def test_a_server_s_name_stands_before_its_tools_and_names_stay_unique() -> None:
    agents = parse_tools([WEATHER, WEATHER], server="sky", taken=["sky.get_weather"])
    assert [agent.name for agent in agents] == ["sky.get_weather 2", "sky.get_weather 3"]
    assert {agent.options["tool"] for agent in agents} == {"get_weather"}


async def test_a_server_is_an_agent(tmp_path: Path) -> None:
    (tmp_path / "sky.json").write_text(json.dumps({"tools": [WEATHER, ALARM]}))
    (agent,) = await aimport_mcp(tmp_path / "sky.json", per="server")
    assert agent.name == "sky" and agent.options["tools"] == ["get_weather", "set_alarm"]
    assert agent.description == "Tools: Weather: Current weather of a place. Alarm."


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({}, "tools is missing"),
        ({"tools": []}, "tools is empty"),
        ({"tools": "x"}, "tools must be a list; got text"),
        ([{}], r"tools\[0\].name is missing"),
        ([{"name": 3}], r"tools\[0\].name must be text"),
        ([{"name": "x", "annotations": 3}], r"tools\[0\].annotations must be an object"),
        ([{"name": "x", "inputSchema": []}], r"tools\[0\].inputSchema must be an object"),
        ([{"name": "x", "inputSchema": {"properties": []}}], "properties must be an object"),
        ({"tools": [WEATHER], "nextCursor": "abc"}, "only one page"),
        ({"jsonrpc": "2.0", "error": {"code": -1}}, "without a result"),
        ([{"name": "x", "description": "Bearer abcdefghijklmnopqrst"}], "looks like a key"),
        (None, "must be|empty"),
    ],
)
def test_malformed_lists_name_file_and_field(tmp_path: Path, value: Any, said: str) -> None:
    file = tmp_path / "tools.json"
    file.write_text(json.dumps(value))
    with pytest.raises(DataError, match=said) as caught:
        import_mcp(file)
    assert str(file) in str(caught.value) and "abcdefghijklmnopqrst" not in str(caught.value)


def test_an_agent_per_server_needs_a_name() -> None:
    with pytest.raises(DataError, match="needs the server's name"):
        parse_tools([WEATHER], per="server")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=15,
)


@settings(max_examples=150, deadline=None)
@given(value=JSON, key=st.sampled_from(sorted(WEATHER)), per=st.sampled_from(["tool", "server"]))
def test_any_json_gives_agents_or_one_typed_error(value: Any, key: str, per: Any) -> None:
    for candidate in (value, [WEATHER | {key: value}]):
        try:
            agents = parse_tools(candidate, per=per, server="s")
        except InvalidInput as error:
            assert "\n" not in str(error)
            continue
        assert Pool(agents).names and all("\n" not in agent.description for agent in agents)
