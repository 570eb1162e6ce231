"""How a step is made of a slope. Each row goes its own way: nothing here is a sum over rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, Protocol

from rakinglight.energy.canvas import Parametrization

if TYPE_CHECKING:
    from torch import Tensor

Optimizer = Literal["adam", "momentum"]
#: The length of a step where none is given, in units of what is moved. Plain steps are as long as the stiffest
#: direction bears, which of a spectrum is its lowest frequency: there Adam is the one to take.
STEP_SIZES: Mapping[tuple[Optimizer, Parametrization], float] = {
    ("adam", "pixels"): 0.02,
    ("adam", "fourier"): 0.05,
    ("momentum", "pixels"): 5e-6,
    ("momentum", "fourier"): 5e-8,
}


class Descent(Protocol):
    """Keeps what it must remember of the way in `state`, tensors by name."""

    state: dict[str, Any]

    def step(self, z: Tensor, g: Tensor) -> Tensor:
        """Where z goes from here, g being the slope of what is to become less."""
        ...


class Momentum:
    """mu <- m mu - eta N g, z <- z + mu: gradient descent with momentum (Mahendran and Vedaldi 2015, section 3.3).

    N, the values of a row, makes eta independent of the image's size, as the energy is.
    """

    def __init__(self, eta: float, m: float = 0.9) -> None:
        self.eta, self.m = eta, m
        self.state: dict[str, Any] = {}

    def step(self, z: Tensor, g: Tensor) -> Tensor:
        mu = -self.eta * g[0].numel() * g
        if "mu" in self.state:
            mu = self.m * self.state["mu"] + mu
        self.state["mu"] = mu
        return z + mu


class Adam:
    """Kingma and Ba 2015, algorithm 1, with their beta_1, beta_2 and epsilon."""

    def __init__(self, alpha: float, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-8) -> None:
        self.alpha, self.beta_1, self.beta_2, self.epsilon = alpha, beta_1, beta_2, epsilon
        self.state: dict[str, Any] = {}

    def step(self, z: Tensor, g: Tensor) -> Tensor:
        t = self.state.get("t", 0) + 1
        m = self.beta_1 * self.state.get("m", 0 * g) + (1 - self.beta_1) * g
        v = self.beta_2 * self.state.get("v", 0 * g) + (1 - self.beta_2) * g.square()
        self.state = {"t": t, "m": m, "v": v}
        m_hat, v_hat = m / (1 - self.beta_1**t), v / (1 - self.beta_2**t)
        step: Tensor = self.alpha * m_hat / (v_hat.sqrt() + self.epsilon)
        return z - step


def descent_of(kind: Optimizer, step_size: float | None, on: Parametrization = "pixels") -> Descent:
    """The descent of this kind; None is its usual step size on that canvas."""
    eta = STEP_SIZES[kind, on] if step_size is None else step_size
    return Adam(eta) if kind == "adam" else Momentum(eta)
