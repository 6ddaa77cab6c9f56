"""Text encoders: texts to unit vectors, by name, with caches."""

from agentnet.outcomes.encoders.base import Encoder, task_text
from agentnet.outcomes.encoders.cache import CachedEncoder
from agentnet.outcomes.encoders.factory import make_encoder
from agentnet.outcomes.encoders.hashing import HashingEncoder

__all__ = ["CachedEncoder", "Encoder", "HashingEncoder", "make_encoder", "task_text"]
