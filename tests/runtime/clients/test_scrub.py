from __future__ import annotations

import pytest

from agentnet.runtime.clients.scrub import scrub, secret_values

SECRET = "a1B2c3D4e5F6g7H8i9"


@pytest.mark.parametrize(
    "text",
    [
        f"Incorrect API key provided: sk-{SECRET}. Find it at",
        f"key sk-proj-{SECRET} and sk-ant-api03-{SECRET}",
        f"{{'Authorization': 'Bearer {SECRET}'}}",
        f"authorization: Basic {SECRET}",
        f"Authorization={SECRET}",
        f"GET https://user:{SECRET}@host.example/v1",
        f"GET https://{SECRET}@host.example/v1",
        f"https://host.example/v1?key={SECRET}&x=1",
        f'{{"api_key": "{SECRET}"}}',
        f"x-api-key: {SECRET}",
        f"api-key={SECRET}&model=x",
        f"password = '{SECRET}'",
        f"AIzaSy{SECRET}abcdefgh",
        f"eyJ{SECRET}.{SECRET}.{SECRET}",
        f"gsk_{SECRET} hf_{SECRET}",
    ],
)
def test_no_secret_is_left(text: str) -> None:
    assert SECRET not in scrub(text, ())


@pytest.mark.parametrize(
    "text",
    [
        "the model 'gpt-4o-mini' does not exist; max_tokens: 500 is too large",
        "https://host.example/v1/chat/completions?model=x refused the connection",
        "This model's maximum context length is 8192 tokens: your messages have 9000 tokens.",
    ],
)
def test_what_helps_the_user_stays(text: str) -> None:
    assert scrub(text, ()) == text


def test_values_of_secret_environment_variables_are_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_PROVIDER_API_KEY", "plain-looking-value")
    assert scrub("rejected plain-looking-value.") == "rejected [secret]."


def test_only_secret_looking_variables_count() -> None:
    environ = {
        "A_TOKEN": "longer-secret",
        "B_KEY": "short",
        "HOME": "/home/user",
        "SSH_AUTH_SOCK": "/tmp/agent.1",
    }
    assert secret_values(environ) == ("longer-secret",)
