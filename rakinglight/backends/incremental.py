"""Patched rows answered exactly, and computed only as far as the patches reach.

A patch changes a map in a window around it alone; elsewhere every row has what the untouched image has. So the maps of
that image are computed once, and for each row no more than its windows: cut out of those maps, what has changed pasted
in, and the next operation done to them.

    image    ........          map    ........          map    ........           logits
             .pp.....                 www.....                 wwww....
             .pp.....  ── 3x3 ──>     www.....  ── 3x3 ──>     wwww....  ── mean, linear ──>
             ........                 www.....                 wwww....

Operations that are local (`backends.anatomy`) are done to windows. From the first one on that sees everything,
everything is computed as ever. That is exact for every network, and pays where much of the work is local.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Generic, NamedTuple, TypeVar
from weakref import ref

import torch
from torch import Tensor
from torch.fx import Node
from torch.nn import functional

from rakinglight.backends.anatomy import Local, NotIncremental, dissect, name_of
from rakinglight.backends.reach import Reach, Span, Sweep
from rakinglight.backends.torch_backend import TorchBackend
from rakinglight.queries import Scores
from rakinglight.rows import Patched

T = TypeVar("T")

#: The most multiply-adds that a patch of one pixel may take, as a share of those of a whole pass. With more of them
#: there is nothing to gain with any patch.
MOST_WORK = 0.9
#: Sizes of patches that a network is prepared for at a time.
PLANS = 32


class Ground(NamedTuple):
    """A map of the untouched image, padded as an operation needs it.

    padding  left, right, top, bottom
    blank    with what
    """

    source: Node
    padding: tuple[int, int, int, int]
    blank: float


class Axes(NamedTuple, Generic[T]):
    """One thing for the rows of a map's places, and one for the columns."""

    down: T
    across: T


@dataclass(frozen=True, eq=False)
class Cut:
    """The windows that an operation needs: cut out of a ground, with what has changed pasted in."""

    ground: Ground
    spans: Axes[Span]

    def __call__(self, changed: Tensor, grounds: Mapping[Ground, Tensor], places: Axes[Tensor]) -> Tensor:
        """Windows [n, C, h, w].

        changed  [n, C, h, w], smaller ones: as far as the patch has reached
        places   top and left of the patches, int64 [n] each
        """
        (down, across), (top, left) = self.spans, places
        windows = cut_out(
            grounds[self.ground], Axes(down.size, across.size), Axes(down.corners[top], across.corners[left])
        )
        n, _, h, w = changed.shape
        views = windows.permute(0, 2, 3, 1).unfold(1, h, 1).unfold(2, w, 1)
        views[torch.arange(n, device=changed.device), down.offsets[top], across.offsets[left]] = changed
        return windows[:, :, down.swept, across.swept]


def cut_out(ground: Tensor, size: Axes[int], corners: Axes[Tensor]) -> Tensor:
    """Windows [n, C, h, w] of a map [H, W, C]. They are in channels_last as it is, so whole lines of it are copied."""
    return ground.unfold(0, size.down, 1).unfold(1, size.across, 1)[corners.down, corners.across]


@dataclass(frozen=True, eq=False)
class Step:
    """What is done at a local operation.

    function  of the operands' windows
    cuts      how each of them is made; None: it is what has changed, as it is
    """

    function: Callable[..., Tensor]
    cuts: Sequence[Cut | None]


@dataclass(frozen=True, eq=False)
class Plan:
    """How patches of one size are answered.

    steps   for each local operation
    wholes  for each map that something wants whole: how it becomes so
    work    multiply-adds, as a share of those of a whole pass
    """

    steps: Mapping[Node, Step]
    wholes: Mapping[Node, Cut | None]
    work: float


class IncrementalBackend:
    """Answers for patched rows of one base image, with the layers of a TorchBackend.

    What is known of the last base is kept for as long as somebody holds that base.

    input_shape  C, H, W
    Raises NotIncremental where the network does not allow it, or nothing could be gained.
    """

    def __init__(self, backend: TorchBackend, input_shape: tuple[int, int, int]) -> None:
        self.name = f"torch {torch.__version__} on {backend.device.type}"
        self.device, self.dtype = backend.device, backend.dtype
        self.anatomy = dissect(backend.module, self._placed(torch.zeros(input_shape)))
        self._known: tuple[ref[Tensor], dict[Ground, Tensor]] | None = None
        self._plan = lru_cache(PLANS)(self._planned)
        if not any(self.anatomy.multiply_adds.values()):
            raise NotIncremental("nothing in it multiplies")
        if (least := self.work((1, 1))) > MOST_WORK:
            raise NotIncremental(
                f"{least:.0%} of its multiply-adds wait for {self._first_whole()}, which sees all places"
            )

    def __repr__(self) -> str:
        return f"<IncrementalBackend {self.name}, {len(self.anatomy.locals)} local operations>"

    @torch.no_grad()
    def forward(self, rows: Patched) -> Scores:
        anatomy, plan, grounds = self.anatomy, self._plan(rows.window), self._grounds(rows.base)
        places = Axes(*rows.corners.to(self.device).T)
        values: dict[Node, Any] = {anatomy.nodes[0]: self._patches(rows, places)}

        def whole(node: Node) -> Any:
            cut = plan.wholes.get(node)
            return cut(values[node], grounds, places) if cut else values[node]

        def bare(node: Node) -> Any:
            return torch.empty(len(rows), *anatomy.shapes[node][1:], device="meta")

        for node in anatomy.nodes[1:-1]:
            if step := plan.steps.get(node):
                changed = (values[operand] for operand in anatomy.locals[node].operands)
                windows = (cut(x, grounds, places) if cut else x for x, cut in zip(changed, step.cuts, strict=True))
                values[node] = step.function(*windows)
            else:
                values[node] = anatomy.perform(node, bare if anatomy.wants_shape(node) else whole)
            for spent in anatomy.spent[node]:
                values.pop(spent, None)
        (logits,) = anatomy.nodes[-1].all_input_nodes
        return Scores(whole(logits).to(rows.base))

    def work(self, window: tuple[int, int]) -> float:
        return self._plan(window).work

    # ── the untouched image ─────────────────────────────────────────────────────────────────────────────────────────

    def _grounds(self, base: Tensor) -> dict[Ground, Tensor]:
        """The grounds of `base` [C, H, W], each [H, W, C]."""
        if self._known is None or self._known[0]() is not base:
            self._known = None  # before the next are made, so that there are never two
            self._known = ref(base, self._forget), self._lay(base)
        return self._known[1]

    def _forget(self, gone: ref[Tensor]) -> None:
        if self._known is not None and self._known[0] is gone:
            self._known = None

    def _lay(self, base: Tensor) -> dict[Ground, Tensor]:
        anatomy, grounds = self.anatomy, dict[Ground, Tensor]()
        maps = {anatomy.nodes[0]: self._placed(base)}
        for node in anatomy.nodes[1:]:
            for ground in self._needed(node):
                if ground not in grounds:
                    padded = functional.pad(maps[ground.source], ground.padding, value=ground.blank)
                    grounds[ground] = padded.contiguous(memory_format=torch.channels_last)[0].permute(1, 2, 0)
            if local := anatomy.locals.get(node):
                maps[node] = local.whole(*(maps[operand] for operand in local.operands))
            for spent in anatomy.spent[node]:
                maps.pop(spent, None)
        return grounds

    def _needed(self, node: Node) -> Iterator[Ground]:
        """The grounds that `node` needs for patches of some sizes."""
        local = self.anatomy.locals.get(node)
        if local and (len(local.operands) > 1 or any(sweep.extent > 1 or sweep.stride > 1 for sweep in local.sweeps)):
            for operand in local.operands:
                yield _ground(operand, local)
        elif not local and not self.anatomy.wants_shape(node):
            for operand in node.all_input_nodes:
                if operand in self.anatomy.shapes:
                    yield _ground(operand)

    def _placed(self, image: Tensor) -> Tensor:
        """`image` [C, H, W] as the layers take it: [1, C, H, W]."""
        return image.to(self.device, self.dtype)[None].contiguous(memory_format=torch.channels_last)

    def _patches(self, rows: Patched, places: Axes[Tensor]) -> Tensor:
        """What each row shows in its window: [n, C, h, w]."""

        def seen(image: Tensor) -> Tensor:
            windows = cut_out(image.to(self.device).permute(1, 2, 0), Axes(*rows.window), places)
            return windows.to(self.dtype).contiguous(memory_format=torch.channels_last)

        if rows.channels is None:
            return seen(rows.fill)
        covered = rows.channels[:, None] == torch.arange(len(rows.base))
        return seen(rows.fill).where(covered[:, :, None, None].to(self.device), seen(rows.base))

    # ── patches of one size ─────────────────────────────────────────────────────────────────────────────────────────

    def _planned(self, window: tuple[int, int]) -> Plan:
        anatomy = self.anatomy
        image = anatomy.nodes[0]
        reaches = {image: Axes(*map(Reach.of_patch, window, anatomy.shapes[image][2:]))}
        steps, wholes, work = dict[Node, Step](), dict[Node, Cut | None](), 0.0
        for node in anatomy.nodes[1:]:
            share = 1.0
            if local := anatomy.locals.get(node):
                steps[node], reaches[node] = self._step(local, reaches)
                share = math.prod(reach.size for reach in reaches[node]) / math.prod(anatomy.shapes[node][2:])
            else:
                for ground in self._needed(node):
                    lengths, reach = anatomy.shapes[ground.source][2:], reaches[ground.source]
                    everywhere = Axes(*map(Reach.everywhere, reach, lengths))
                    wholes[ground.source] = self._cut(ground, Axes(*map(Sweep.still, lengths)), reach, everywhere)
            work += share * anatomy.multiply_adds.get(node, 0)
        return Plan(steps, wholes, work / sum(anatomy.multiply_adds.values()))

    def _step(self, local: Local, reaches: Mapping[Node, Axes[Reach]]) -> tuple[Step, Axes[Reach]]:
        """What is done at `local`, and how far its output changes where its operands do as far as `reaches` says."""
        sweeps, changed = Axes(*local.sweeps), [reaches[operand] for operand in local.operands]
        if all(reach.size == sweep.length for each in changed for reach, sweep in zip(each, sweeps, strict=True)):
            out = Axes(*(reach.everywhere(sweep.outputs) for reach, sweep in zip(changed[0], sweeps, strict=True)))
            return Step(local.whole, [None] * len(changed)), out
        along = zip(sweeps, zip(*changed, strict=True), strict=True)
        out = Axes(*(sweep.reached(Reach.joined(each, sweep.length)) for sweep, each in along))
        grounds = [_ground(operand, local) for operand in local.operands]
        return Step(local.window, [self._cut(g, sweeps, c, out) for g, c in zip(grounds, changed, strict=True)]), out

    def _cut(self, ground: Ground, sweeps: Axes[Sweep], changed: Axes[Reach], out: Axes[Reach]) -> Cut | None:
        spans = Axes(*map(Sweep.span, sweeps, changed, out))
        if all(map(Span.is_just, spans, changed)):
            return None
        return Cut(ground, Axes(*(span.to(self.device) for span in spans)))

    def _first_whole(self) -> str:
        """What the first operation is called that sees everything."""
        return next(
            name_of(node) for node in self.anatomy.nodes if any(self._needed(node)) and node not in self.anatomy.locals
        )


def _ground(source: Node, local: Local | None = None) -> Ground:
    """What `local` needs of the map `source`; without it, the map as it is."""
    if local is None:
        return Ground(source, (0, 0, 0, 0), 0.0)
    down, across = local.sweeps
    return Ground(source, (*across.padding, *down.padding), local.blank)
