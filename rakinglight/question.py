"""A question: one operation on one image of one model, as it crosses from a door to an engine.

A request about sixteen images becomes sixteen questions; of an operation that is about all images together, one. What
a door has checked it need not check again, but the engine's side builds the same parameter model from it, so an engine
never trusts its mail.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from rakinglight import catalogue
from rakinglight.defenses import Chain
from rakinglight.errors import NotFound, near
from rakinglight.picture_parameters import each_of
from rakinglight.queries import WAVE_VALUES, Algorithm, Progress
from rakinglight.relays import addressed, in_thread
from rakinglight.run import Cost, Run
from rakinglight.states import to_tensors
from rakinglight.subject import Subject

if TYPE_CHECKING:
    from rakinglight.network import Network


#: Values of an image from which on an algorithm's own steps are done in a thread: about ten milliseconds each on a CPU.
LARGE = 1_000_000
#: Copies of an image in float32 that a run holds at its height: where it works at the image's own size, and where it
#: only looks at it as the model sees it, which is while it is made of grey levels.
COPIES, COPIES_SEEN = 8, 3
#: Of a large image, by methods that probe around it at its own size: the least wave, what it is made of and its view.
COPIES_PROBED, PROBING = 40, ("hop_skip_jump", "nes")
#: Parameters by which a run asks for many rows, and the bytes that those rows, their answers and what is made of them
#: take at a time: 99 MB were measured for a `second_order` with waves four times as large.
MANY, MANY_BYTES = frozenset({"n_samples", "n_steps", "masks"}), 4 * 4 * WAVE_VALUES


@dataclass(frozen=True, eq=False)
class Question:
    """What is asked of a model about one image, or about several together.

    model       the network's name
    pixels      uint8 [H, W, C] with the model's number of channels, or an exact float32 tensor [C, H, W] in [0, 1]
    more        the images after the first, where the operation is about all of them together
    parameters  of the operation and the method; what is missing has its default
    seconds     how long the run may take from when it is taken up, before it is told to stop
    max_rows    rows that it may send through the network
    caller      whose it is, for fairness alone
    map_s       seconds between two maps or pictures so far that come with the progress; None: nobody wants to see them
    state_s     seconds between two states that come with the progress; None: nobody wants to keep them
    given       whether `pixels` is an image that came; else the model's mean colour stands for one
    saved       what came as `saved` with the progress of this question: it is taken up from there. {"state": its
                tree, by `states.to_arrays`; "cost": every field of the run's Cost}
    """

    operation: str
    model: str
    pixels: np.ndarray[Any, Any]
    method: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    seconds: float = 60.0
    max_rows: int | None = None
    caller: str = ""
    map_s: float | None = None
    state_s: float | None = None
    saved: Mapping[str, Any] | None = None
    more: Sequence[np.ndarray[Any, Any]] = ()
    given: bool = True

    @property
    def images(self) -> list[np.ndarray[Any, Any]]:
        """All that it is about."""
        return [self.pixels, *self.more]

    @property
    def values(self) -> int:
        """Of all its images together."""
        return sum(image.size for image in self.images)

    @property
    def working_bytes(self) -> int:
        """About the memory that the run of it takes: the image in floats some times over, and the rows made of it."""
        own_size = catalogue.operation(self.operation).own_size
        many = MANY & self.parameters.keys() or self.parameters.get("evaluate")
        shown = [len(picture["data"]) for picture in self._pictures]
        copies = COPIES_PROBED if self.method in PROBING else COPIES if own_size else COPIES_SEEN
        # Pictures are in base64 all the time, and in floats one at a time.
        more = sum(shown) + 4 * COPIES_SEEN * max(shown, default=0)
        return self.values * 4 * copies * self._copies + more + (MANY_BYTES if many or self.method in PROBING else 0)

    @property
    def _copies(self) -> int:
        """Pictures of the image's size that are made of it at once."""
        return max(int(self.parameters.get(name) or 1) for name in ("repeats", "starts", "population"))

    @property
    def _pictures(self) -> list[Mapping[str, Any]]:
        """Those among the parameters."""
        names = catalogue.operation(self.operation).pictures.keys() & self.parameters.keys()
        return [one for name in names for one in each_of(self.parameters[name], name).values()]

    def to_body(self) -> dict[str, Any]:
        """The body of a request frame."""
        without = replace(self, saved=None, more=())
        return asdict(without) | {"pixels": self.pixels, "saved": self.saved, "more": list(self.more)}

    @staticmethod
    def from_body(body: Mapping[str, Any]) -> Question:
        return Question(**body)

    def begin(
        self, networks: Mapping[str, Network], notify: Callable[[Progress | Run[Any]], None] = lambda news: None
    ) -> Run[dict[str, Any]]:
        """The run that answers this question, ready to be submitted. Its result is that of the operation.

        Raises NotFound where the model is not among `networks`, and BadParameter.
        """
        if self.model not in networks:
            raise NotFound(f"There is no model {self.model!r}: {near(self.model, networks)}")
        card = networks[self.model].card
        operation = catalogue.operation(self.operation)
        method = operation.method(self.method)
        _, (own_image, *_) = operation.check(method, self.parameters, card, images=len(self.images))
        parameters = dict(operation.read(method, own_image))
        own = {name: parameters[name] for name in operation.own_parameters}
        chosen = [method.choose(parameters)] if method else []
        cards = {name: network.card for name, network in networks.items()}
        detector, decoders = networks[self.model].detector, networks[self.model].decoders

        def answer() -> Algorithm[dict[str, Any]]:
            # Images and states become tensors where the run is driven: the thread that takes mail shall not wait.
            going_on = {"state": to_tensors(self.saved["state"])} if self.saved else {}
            subjects = [Subject.of(card, image, self.seed, cards, detector) for image in self.images]
            subjects = [replace(subject, given=self.given, decoders=decoders) for subject in subjects]
            about = subjects if operation.together else subjects[0]
            return (yield from operation.run(about, *chosen, **going_on, **own))

        algorithm = answer()
        if self.values * self._copies + sum(len(picture["data"]) for picture in self._pictures) >= LARGE:
            algorithm = in_thread(algorithm)
        return Run(
            addressed(algorithm, self.model),
            caller=self.caller,
            deadline=time.monotonic() + self.seconds,
            max_rows=math.inf if self.max_rows is None else self.max_rows,
            reserve=operation.reserve * len(self.images) * _dearer(parameters),
            notify=notify,
            cost=Cost(**self.saved["cost"]) if self.saved else Cost(),
        )


def _dearer(parameters: Mapping[str, Any]) -> int:
    """How many times the rows it takes to judge an image: behind defences it is judged once more, and each verdict
    takes all copies of all draws; a detector is asked apart.
    """
    chain = Chain(parameters.get("defense", ()))
    return (2 * chain.judged_draws * chain.copies if chain else 1) + bool(parameters.get("detector"))
