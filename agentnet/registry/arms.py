"""`Arm`: which version decides for a task while a canary runs, and how likely that was."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

from agentnet.errors import InvalidInput
from agentnet.registry.records import Serving

RELEASE_TAG = "release"
"""Tag of a run that holds its `Arm`; a caller's tag of this name is replaced."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """Which version a run was given to, drawn before its task was looked at.

    The arm is what was drawn (the intention); a canary that failed on the task was stood in for by the
    serving version, and the role of the run's decision says so.

    Attributes:
        revision: The registry's revision.
        arm: ``"serving"`` or ``"canary"``.
        share: Probability of the canary, in [0, 1]; 0 without one.
        serving: The serving version.
        canary: The canary; None: there is none.
        unit: What was drawn: each ``"session"`` as a whole, or each ``"run"`` by itself.

    >>> state = Serving(revision=3, serving="old", canary="new", canary_share=0.1)
    >>> arms = [Arm.draw(state, session_id=str(i), run_id="") for i in range(1000)]
    >>> sum(arm.arm == "canary" for arm in arms)
    99
    >>> arms[0].chance(old=1.0, new=0.0)
    0.9
    """

    revision: int
    arm: Literal["serving", "canary"]
    share: float
    serving: str
    canary: str | None = None
    unit: Literal["session", "run"] = "run"

    @classmethod
    def draw(cls, state: Serving, *, session_id: str | None, run_id: str) -> Self:
        """Draws the arm of a run: a hash of the canary's version and the session, else of the run.

        So a session stays with its arm in every process, a larger share keeps those that a smaller one had
        taken, and another canary takes others.

        Args:
            state: What serves.
            session_id: The session; None: the run is drawn by itself.
            run_id: The run.
        """
        taken = False
        if state.canary is not None:
            unit = f"run {run_id}" if session_id is None else f"session {session_id}"
            digest = hashlib.sha256(f"{state.canary} {unit}".encode("utf-8", "surrogatepass")).digest()
            taken = int.from_bytes(digest[:8], "big") < state.canary_share * 2**64
        return cls(
            revision=state.revision,
            arm="canary" if taken else "serving",
            share=state.canary_share,
            serving=state.serving or "",
            canary=state.canary,
            unit="run" if session_id is None else "session",
        )

    @property
    def version(self) -> str:
        """The version that was drawn."""
        return self.canary if self.arm == "canary" and self.canary is not None else self.serving

    def chance(self, *, old: float, new: float) -> float:
        r"""Returns the probability of a plan over both arms, for off-policy evaluation.

        .. math:: P(plan) = (1 - s) \pi_{old}(plan) + s \pi_{new}(plan)

        Args:
            old: Probability with which the serving version chooses it.
            new: Probability with which the canary does.
        """
        return (1 - self.share) * old + self.share * new

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON values; the inverse of `from_dict`."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Builds an arm from the tag of a run.

        Raises:
            InvalidInput: it is none.
        """
        try:
            arm = cls(**data)
        except TypeError as error:
            raise InvalidInput(f"this is not the tag of a release: {error}.") from None
        if arm.arm not in ("serving", "canary"):
            raise InvalidInput(f"a run's arm is 'serving' or 'canary'; got {arm.arm!r}.")
        return arm
