"""`Learner`: what SFT and DAPO have in common, the adapters of a language model and their optimiser."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentnet.routers.intents.backbone import AdapterShape, Backbone
from agentnet.routers.reasoning.packing import Packed

if TYPE_CHECKING:
    import torch

_STATE = ("exp_avg", "exp_avg_sq")


class Learner:
    """Puts log-probabilities of answers under a gradient, and follows it with AdamW.

    The blocks below the adapters are run without a gradient.

    Args:
        backbone: Has adapters, or gets fresh ones.
        shape: Of the adapters; ignored where there are some.
        seed: Of fresh adapters.
        clip: Longest gradient.
    """

    def __init__(self, backbone: Backbone, shape: AdapterShape, *, seed: int, clip: float = 1.0) -> None:
        import torch

        if backbone.shape is None:
            backbone.adapt(shape, seed=seed)
        assert backbone.shape is not None
        self.backbone, self.clip = backbone, clip
        self.parameters = backbone.adapters()
        self.lower, self.upper = backbone.halves(backbone.shape.blocks)
        self.optimiser = torch.optim.AdamW(self.parameters.values(), weight_decay=0.0)

    def log_probabilities(self, packed: Packed) -> torch.Tensor:
        """Returns [m] log-probability of each token of the answers, at temperature 1."""
        import torch

        given = {"attention_mask": packed.mask, "position_ids": packed.positions, "use_cache": False}
        with torch.no_grad():
            below = self.lower(input_ids=packed.ids, **given).last_hidden_state
        hidden = self.upper(inputs_embeds=below, **given).last_hidden_state
        logits = self.backbone.logits(hidden[packed.tree, packed.source])
        return -torch.nn.functional.cross_entropy(logits, packed.target, reduction="none")

    def follow(self, loss: torch.Tensor, rate: float) -> float:
        """One step of AdamW down the loss; returns the gradient's length before it was cut."""
        import torch

        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        length = torch.nn.utils.clip_grad_norm_(self.parameters.values(), self.clip)
        self.optimiser.step()
        return float(length)

    # -- checkpoints -----------------------------------------------------------------------------
    def tensors(self) -> dict[str, torch.Tensor]:
        """Returns adapters and optimiser, for a checkpoint."""
        found = {f"adapter.{name}": p.detach() for name, p in self.parameters.items()}
        for name, parameter in self.parameters.items():
            kept = self.optimiser.state.get(parameter)
            if kept:
                found |= {f"{key}.{name}": kept[key] for key in _STATE}
                found[f"step.{name}"] = kept["step"].reshape(1)
        return found

    def restore(self, tensors: dict[str, torch.Tensor]) -> None:
        """Takes back what `tensors` gave.

        Raises:
            KeyError: tensors are missing.
        """
        import torch

        with torch.no_grad():
            for name, parameter in self.parameters.items():
                parameter.copy_(tensors[f"adapter.{name}"])
                if f"step.{name}" in tensors:
                    kept = {key: tensors[f"{key}.{name}"].to(parameter.device) for key in _STATE}
                    self.optimiser.state[parameter] = {"step": tensors[f"step.{name}"].reshape(()), **kept}
