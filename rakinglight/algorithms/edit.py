"""A photograph, changed until it is of another class, and held near to what it was."""

from functools import partial
from typing import TYPE_CHECKING

from rakinglight.card import Card
from rakinglight.inversion_parameters import (
    Beta,
    EditTarget,
    Fidelity,
    Jitter,
    NearWeight,
    OptimizerChoice,
    ParametrizationChoice,
    StepLength,
    StepsOfDescent,
    TotalVariationWeight,
)
from rakinglight.inverted import Inverted
from rakinglight.noise import Noise
from rakinglight.objectives import SCORES
from rakinglight.parameters import ScoreChoice
from rakinglight.queries import Algorithm, Gradient, Slope, State
from rakinglight.subject import Subject

if TYPE_CHECKING:
    from torch import Tensor


def edit(
    x: "Tensor",
    subject: Subject,
    card: Card,
    logits: "Tensor",
    noise: Noise,
    state: State | None = None,
    *,
    target: EditTarget,
    score: ScoreChoice = "logit",
    fidelity: Fidelity = 1.0,
    near_weight: NearWeight = 10.0,
    beta: Beta = 2.0,
    tv_weight: TotalVariationWeight = 1.0,
    jitter: Jitter = 4,
    parametrization: ParametrizationChoice = "fourier",
    optimizer: OptimizerChoice = "adam",
    step_size: StepLength = None,
    steps: StepsOfDescent = 60,
) -> "Algorithm[Inverted]":
    """Changes the photograph towards a class, held near it by the squared distance and smooth by TV^beta.

    Simonyan, Vedaldi and Zisserman, "Deep Inside Convolutional Networks", ICLR workshops 2014, equation 2, the score of
    a class and an L2 term, begun at a photograph and held near that in place of the mean colour. It is no attack: what
    it changes is to be seen.

    x        [C, H, W], as the network sees it
    subject  knows which class is meant
    card     of the network
    logits   of the photograph, [K]
    noise    the run's own random numbers, for the jitter
    state    from which to go on, as its Progress had it
    Returns a picture of x's shape; and the `target`.
    """
    from rakinglight.energy import Near, TotalVariation, canvas_of, descent_of, minimize

    t = subject.class_index(target, logits)
    S = SCORES[score](t)

    def ask(rows: "Tensor") -> "Algorithm[tuple[Tensor, Tensor]]":
        slope: Slope = yield Gradient(rows, S, seen=True)
        return -fidelity * slope.objective, -fidelity * slope.gradient

    terms = (Near(x, near_weight), TotalVariation(tv_weight, beta))
    return (
        yield from minimize(
            canvas_of(parametrization, x[None].clone()),
            ask,
            [term for term in terms if term.weight],
            descent_of(optimizer, step_size, parametrization),
            steps=steps,
            noise=noise,
            jitter=jitter,
            made=partial(Inverted, said={"target": {"index": t, "label": card.labels[t]}}),
            state=state,
        )
    )
