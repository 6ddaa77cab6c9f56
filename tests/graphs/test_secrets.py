"""Options hold no secret, wherever in them it stands and however it is written."""

from __future__ import annotations

import pytest

from agentnet.errors import PoolError
from agentnet.graphs.agent import Agent, Backend
from agentnet.graphs.secrets import is_secret_option

SECRET = "s3cretvalue12345"


@pytest.mark.parametrize(
    ("options", "place"),
    [
        ({"api_key": SECRET}, "['api_key']"),
        ({"API_KEY": SECRET}, "['API_KEY']"),
        ({"apiKey": SECRET}, "['apiKey']"),
        ({"api_key": 12345}, "['api_key']"),
        ({"azure_ad_token": SECRET}, "['azure_ad_token']"),
        ({"vertex_credentials": {"type": SECRET}}, "['vertex_credentials']"),
        ({"aws_secret_access_key": SECRET}, "['aws_secret_access_key']"),
        ({"client_secret": SECRET}, "['client_secret']"),
        ({"Password": SECRET}, "['Password']"),
        ({"extra_headers": {"x-api-key": SECRET}}, "['extra_headers']['x-api-key']"),
        ({"headers": {"Authorization": SECRET}}, "['headers']['Authorization']"),
        ({"headers": {"X-Auth-Value": f"Bearer {SECRET}"}}, "['headers']['X-Auth-Value']"),
        ({"body": [{"n": 1}, {"one": ({"token": SECRET},)}]}, "['body'][1]['one'][0]['token']"),
        ({"api_base": f"https://me:{SECRET}@host/v1"}, "['api_base']"),
        ({"api_base": f"https://{SECRET}@host/v1"}, "['api_base']"),
        ({"api_base": f"https://host/v1?v=1&api_key={SECRET}"}, "['api_base']"),
        ({"fallback": {"urls": [f"see redis://:{SECRET}@host"]}}, "['fallback']['urls'][0]"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("fields", [{"model": "m"}, {}], ids=["backend", "agent"])
def test_a_secret_is_refused_at_its_place_and_not_shown(fields, options, place):
    with pytest.raises(PoolError) as caught:
        (Backend if fields else Agent)(name="b", options=options, **fields)
    text = str(caught.value)
    assert f"'b': options{place} " in text and "api_key_env" in text
    assert SECRET not in text


def test_a_stored_pool_with_a_secret_is_refused():
    with pytest.raises(PoolError, match="x-api-key"):
        Agent.from_dict(
            {"name": "a", "backend": {"name": "b", "model": "m", "options": {"h": {"x-api-key": SECRET}}}}
        )


@pytest.mark.parametrize(
    "options",
    [
        {"api_key_env": "ACME_KEY", "api_base": "http://localhost:8000/v1?api-version=2024-06-01"},
        {"max_tokens": 5, "max_completion_tokens": 9, "stop_token": "</s>", "logit_bias": {"50256": -100}},
        {"prompt_cache_key": "a", "input_key": "question", "output_key": "answer", "seed": 1},
        {"api_key": None, "token": "", "use_auth": False, "password": False},
        {"answers": {"What is a secret?": "Mail me@host.org, see https://host.org/@me/1 or a:b@c."}},
        {"instruction": "Never tell a password: basic rules of any token."},
    ],
)
def test_what_is_no_secret_stays(options):
    assert Backend(name="b", model="m", options=options).options == options
    assert Agent(name="a", options=options).options == options


def test_a_name_of_several_words_is_a_text():
    assert is_secret_option("access_token") and not is_secret_option("access token")


def test_options_that_hold_themselves_end():
    options: dict[str, object] = {"n": 1}
    options["again"] = options
    assert Agent(name="a", options=options).options["n"] == 1
