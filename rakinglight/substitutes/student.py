"""A substitute while it learns: its module, Adam's memory, and what it says of an image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rakinglight.noise import Noise
from rakinglight.queries import State
from rakinglight.substitutes.architectures import Architecture, cell, network

if TYPE_CHECKING:
    from torch import Tensor

#: Adam's own, as published (Kingma and Ba 2015, algorithm 1).
BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8
#: What an image is taken off and divided by. Who steals a network does not know its own.
MEAN, STD = 0.5, 0.5


class Student:
    """A small network of `classes` classes of images [C, H, W], and what it takes to teach it.

    shape  [C, H, W]
    side   of what it looks at, at most; None: half of the image's, and 32 at most
    noise  for its first weights: uniform, within one over the root of how many inputs a unit has
    state  from which to go on: no noise is drawn then
    """

    def __init__(
        self,
        architecture: Architecture,
        shape: tuple[int, int, int],
        classes: int,
        side: int | None,
        noise: Noise,
        state: State | None = None,
    ) -> None:
        import torch

        self.architecture, self.shape, self.classes = architecture, shape, classes
        self.cell = cell(shape, side)
        with torch.device("meta"):  # torch would draw the first weights from a generator that is everybody's
            module = network(architecture, shape, classes, self.cell)
        self.module: Any = module.to_empty(device="cpu").eval()
        self._parameters = list(self.module.parameters())
        with torch.no_grad():
            for at, parameter in enumerate(self._parameters):
                if state:
                    parameter.copy_(state["weights"][at])
                    continue
                if parameter.ndim > 1:  # a bias comes after its weight, and has as many inputs
                    reach = parameter[0].numel() ** -0.5
                parameter.copy_(noise.uniform(parameter, -reach, reach))
        empty = [torch.zeros_like(parameter) for parameter in self._parameters]
        self._m = state["m"] if state else empty
        self._v = state["v"] if state else [one.clone() for one in empty]
        self._t = state["t"] if state else 0

    @property
    def weights(self) -> list[Tensor]:
        """In the order of its module's parameters."""
        return [parameter.detach() for parameter in self._parameters]

    @property
    def state(self) -> dict[str, Any]:
        """From which another goes on. It is written to with every step."""
        return {"weights": self.weights, "m": self._m, "v": self._v, "t": self._t}

    def small(self, levels: Tensor) -> Tensor:
        """What it looks at of pictures uint8 [n, C, H, W]: float32 [n, C, h, w]."""
        looked_at: Tensor = self.module[0](levels.float() / 255)
        return looked_at

    def answers(self, levels: Tensor) -> Tensor:
        """Its logits [n, K] for pictures uint8 [n, C, H, W]."""
        import torch

        with torch.no_grad():
            return self._behind(self.small(levels))

    def learn(self, small: Tensor, answers: Tensor, rate: float) -> None:
        """One step of Adam down the cross-entropy to `answers`: int64 [n], or probabilities [n, K]."""
        import torch
        from torch.nn.functional import cross_entropy

        loss = cross_entropy(self._behind(small), answers)
        gradients = torch.autograd.grad(loss, self._parameters)
        self._t += 1
        first, second = 1 - BETA_1**self._t, 1 - BETA_2**self._t
        with torch.no_grad():
            for parameter, g, m, v in zip(self._parameters, gradients, self._m, self._v, strict=True):
                m.mul_(BETA_1).add_(g, alpha=1 - BETA_1)
                v.mul_(BETA_2).addcmul_(g, g, value=1 - BETA_2)
                parameter.addcdiv_(m / first, (v / second).sqrt_().add_(EPSILON), value=-rate)

    def jacobian_signs(self, small: Tensor, classes: Tensor) -> Tensor:
        """The sign of the derivative of each image's logit of its class, int64 [n], by each cell: int8 [n, C, h, w]."""
        import torch

        x = small.clone().requires_grad_()
        (g,) = torch.autograd.grad(self._behind(x).gather(1, classes[:, None]).sum(), x)
        return g.sign().to(torch.int8)

    def loss_signs(self, small: Tensor, classes: Tensor) -> Tensor:
        """As `jacobian_signs`, of the cross-entropy to the class."""
        import torch
        from torch.nn.functional import cross_entropy

        x = small.clone().requires_grad_()
        (g,) = torch.autograd.grad(cross_entropy(self._behind(x), classes, reduction="sum"), x)
        return g.sign().to(torch.int8)

    def _behind(self, small: Tensor) -> Tensor:
        logits: Tensor = self.module[1]((small - MEAN) / STD)
        return logits
