"""The language model that a router asks, lent to it by the runtime: same client, same limits, same totals."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from agentnet.errors import LimitExceeded, RouterError
from agentnet.graphs.agent import Backend
from agentnet.graphs.pool import Pool
from agentnet.graphs.task import Message
from agentnet.routers.base import Router
from agentnet.routers.decision import Decision
from agentnet.routers.reasoning.model import Completion
from agentnet.runtime.call import Tally
from agentnet.runtime.client import ModelClient, Request
from agentnet.runtime.limits import Ledger, Usage


class ClientModel:
    """A `RouterModel` that calls a backend through a `ModelClient`, greedily.

    Given the client of a run, its calls keep that run's limits.

    Args:
        client: Where calls go.
        backend: The model.
        backends: Where the backend's fallbacks are found by name.
        used: Adds up what the calls used, those that failed included.

    >>> from agentnet.routers.reasoning.consult import consult_sync
    >>> from agentnet.runtime.clients.scripted import ScriptedClient
    >>> from agentnet.graphs.agent import Agent
    >>> from agentnet.graphs.task import Task
    >>> model = ClientModel(ScriptedClient(['{"reason": "", "ids": ["oos"]}']), Backend(name="b", model="m"))
    >>> consult_sync(Task("Sing!"), [Agent(name="cards")], model).out_of_scope, model.used.calls
    (True, 1)
    """

    def __init__(
        self,
        client: ModelClient,
        backend: Backend,
        *,
        backends: Mapping[str, Backend] | None = None,
        used: Tally | None = None,
    ) -> None:
        self._client = client
        self._backends = backends
        self.backend = backend
        self.used = Tally() if used is None else used

    @property
    def name(self) -> str:
        """The model's name."""
        return self.backend.model

    async def complete(
        self,
        messages: tuple[Message, ...],
        *,
        max_tokens: int,
        json_schema: Mapping[str, Any] | None = None,
    ) -> Completion:
        """Answers; greedy.

        Raises:
            BackendError: the call failed for good.
            LimitExceeded: a limit leaves no room for it.
        """
        request = Request(
            backend=self.backend,
            messages=messages,
            max_tokens=max_tokens,
            temperature=0.0,
            json_schema=json_schema,
            backends=self._backends if self.backend.fallbacks else None,
        )
        try:
            response = await self._client.complete(request)
        except LimitExceeded as limit:
            if limit.sent:
                self.used.cut_off()
            raise
        except asyncio.CancelledError:
            self.used.cut_off()
            raise
        except Exception as error:
            self.used.failed(error)
            raise
        self.used.add(response)
        return Completion(
            text=response.text,
            prompt_tokens=response.prompt_tokens,
            completion_tokens=response.completion_tokens,
            cost=response.cost,
            latency_s=response.latency_s,
        )


def wanted_backend(router: Router, pool: Pool) -> Backend | None:
    """Returns the backend that a router's ``model`` names; None where it names none.

    It is the name of one of the pool's backends, else of an agent of the pool (its backend is meant), else
    a model's name for LiteLLM. The price of the last is unknown unless the client knows it.

    Raises:
        RouterError: it is no text, or the name of an agent without a backend.
    """
    name = getattr(router, "model", None)
    if name is None or name == "":
        return None
    if not isinstance(name, str):
        raise RouterError(f"the model of the router {router.name!r} must be a name; got {name!r}.")
    backends = pool.backends
    if name in backends:
        return backends[name]
    if name in pool:
        backend = pool[name].backend
        if backend is None:
            raise RouterError(
                f"the router {router.name!r} is to ask the agent {name!r}, which has no backend; name an "
                "agent with one, a backend, or a model for LiteLLM."
            )
        return backend
    return Backend(name=name, model=name)


def settled(decision: Decision, used: Tally, ledger: Ledger | None) -> None:
    """Makes a decision tell what its model calls used, and charges what they did not.

    The calls are charged as they are made. A router may tell a higher cost, for example of another service
    it has asked; only what it tells beyond the calls is charged here, so that nothing counts twice.

    Args:
        decision: Its ``router_cost`` is taken to include the calls.
        used: The calls that went through the runtime.
        ledger: Where the calls were charged.
    """
    own, seen = decision.router_cost, used.cost
    if ledger is not None:
        charge(ledger, None if own is None else max(own - (seen or Decimal(0)), Decimal(0)))
    decision.router_cost = None if own is None or seen is None else max(own, seen)
    decision.router_calls = max(decision.router_calls, used.calls)
    decision.router_prompt_tokens = _larger(decision.router_prompt_tokens, used.prompt_tokens)
    decision.router_completion_tokens = _larger(decision.router_completion_tokens, used.completion_tokens)


def charge(ledger: Ledger, usd: Decimal | None) -> None:
    """Charges a router's own cost; None is unknown, which is not zero."""
    if usd != 0:
        ledger.charge(Usage(usd=usd))


def _larger(own: int | None, seen: int | None) -> int | None:
    return None if own is None or seen is None else max(own, seen)
