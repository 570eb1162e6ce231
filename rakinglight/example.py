"""What an attack returns: an adversarial example, as far as it got. Needs no torch to be imported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, eq=False)
class Example:
    """An image made by an attack, and what the attack found out on the way.

    x      [C, H, W], pixels in [0, 1]
    facts  plain values by the names that they have in a reply, such as which of several attacks made it
    """

    x: Tensor
    facts: Mapping[str, Any] = field(default_factory=dict)

    @staticmethod
    def of(found: Tensor | Example) -> Example:
        """What an attack returned: most have nothing to say beside the image."""
        return found if isinstance(found, Example) else Example(found)
