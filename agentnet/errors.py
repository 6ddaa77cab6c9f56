"""Every error agentnet raises on purpose. Each message says what happened and what to do."""

from __future__ import annotations

from decimal import Decimal


class AgentnetError(Exception):
    """Base of all agentnet errors: ``except AgentnetError`` catches what agentnet raises."""


class InvalidInput(AgentnetError, ValueError):
    """A value the user gave cannot be used; raised before any money is spent."""


class TaskError(InvalidInput):
    """A task cannot be used: empty, not text, not valid Unicode, or far too long."""


class PoolError(InvalidInput):
    """A pool of agents is empty, has a duplicate name, or lacks an agent that is asked for."""


class GraphError(InvalidInput):
    """A task graph is malformed: a cycle inside a round, an unknown node or agent, a bad weight."""


class LimitError(InvalidInput):
    """A limit cannot be used: zero, negative or not a number."""


class DataError(InvalidInput):
    """A pack, a probe file or an export has a missing file, a wrong column or a bad value."""


class MissingDependency(AgentnetError, ImportError):
    """An optional package is needed; the message holds the exact install command."""


class RouterError(AgentnetError):
    """A router cannot do what was asked."""


class UnknownRouter(RouterError, KeyError):
    """No router has this name; the message lists the names there are."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class NotFitted(RouterError):
    """The router must be fitted or loaded before it can route."""


class RouterLoadError(RouterError):
    """A saved router's folder is missing, incomplete, corrupt or of a newer format."""


class RunError(AgentnetError):
    """A run cannot give an answer at all."""


class BackendError(RunError):
    """A language model call failed for good, after its retries and fallbacks.

    Attributes:
        spent_tokens: Tokens that attempts without a usable answer are known to have used; None unknown.
        spent_usd: USD of those tokens; None unknown.
        lost_attempts: Attempts that were cut off after sending: nobody knows what they used.
    """

    spent_tokens: int | None = 0
    spent_usd: Decimal | None = Decimal(0)
    lost_attempts: int = 0


class BackendUnreachable(BackendError):
    """The model's server could not be reached or timed out."""


class EmptyResponse(BackendError):
    """The model answered with nothing."""


class ContextTooLong(BackendError, InvalidInput):
    """The prompt does not fit into the model's context window; nothing was sent."""


class LimitExceeded(RunError):
    """A limit on money, tokens, calls or seconds is used up; nothing more was sent.

    Attributes:
        kind: ``"usd"``, ``"tokens"``, ``"calls"`` or ``"seconds"``.
        sent: Whether it cut off a call in flight, whose usage is unknown; else nothing was sent.
    """

    sent: bool = False

    def __init__(self, message: str, *, kind: str) -> None:
        super().__init__(message)
        self.kind = kind


class UnpricedCall(LimitExceeded):
    """A money limit is set but the call's price is unknown: refused, for unknown is not zero."""

    def __init__(self, message: str) -> None:
        super().__init__(message, kind="usd")


class Abstained(RunError):
    """The router found no fitting agent and no fallback is set."""


class SandboxError(AgentnetError):
    """Sandboxed code could not be run."""


class SandboxUnavailable(SandboxError):
    """This machine cannot confine generated code; it is not run."""


class StoreError(AgentnetError):
    """The trace store cannot be opened, migrated, written or read."""


class RegistryError(AgentnetError):
    """A registry of routers cannot be read or changed, or has no such version."""


class RegistryConflict(RegistryError):
    """Somebody else changed what serves at the same time: read the registry again and decide anew."""


class NotEnoughEvidence(AgentnetError):
    """A log cannot answer what is asked of it; the message says why and what would."""
