"""What a network is made of, as far as it matters which place of a map depends on which place of another.

The module is read as a graph of operations. Some are local: what comes out at a place depends on what is around that
place alone, as in convolutions, pooling, activations, sums of maps and concatenations over channels. All else sees
everything, and so does what comes after it.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx, nn
from torch.fx import Node
from torch.fx.node import map_arg
from torch.nn import functional

from rakinglight.backends.accompanied import Accompanied
from rakinglight.backends.reach import Sweep
from rakinglight.backends.rules import RECTIFIERS

DROPOUTS = nn.Dropout, nn.Dropout2d
#: Layers that give a map of their own making, and never the very one that they are given.
MAKERS = nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d

#: Layers that treat each place of a map by itself.
POINTWISE_LAYERS = (
    *DROPOUTS, nn.LocalResponseNorm, nn.Identity, nn.ReLU, nn.ReLU6, nn.Hardtanh,
    nn.LeakyReLU, nn.PReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish, nn.Softplus, nn.Softsign, nn.Tanh,
    nn.Sigmoid, nn.Hardsigmoid, nn.Hardswish, nn.LogSigmoid, nn.Hardshrink, nn.Softshrink, nn.Tanhshrink, nn.Threshold,
)  # fmt: skip

#: Functions that do, of maps and numbers; and methods of a tensor.
POINTWISE_FUNCTIONS = RECTIFIERS | {
    operator.add, operator.sub, operator.mul, operator.truediv, operator.neg, torch.add, torch.sub, torch.mul,
    torch.div, torch.maximum, torch.minimum, torch.clamp, torch.sigmoid, torch.tanh, torch.abs, torch.exp, torch.square,
    functional.sigmoid, functional.tanh, functional.hardsigmoid, functional.dropout, functional.local_response_norm,
}  # fmt: skip
POINTWISE_METHODS = {"relu", "add", "sub", "mul", "div", "clamp", "sigmoid", "tanh", "abs", "exp", "square"}

#: What writes over its operand, and what does the same beside it.
BESIDE: dict[Any, Any] = {
    operator.iadd: operator.add, operator.isub: operator.sub, operator.imul: operator.mul,
    operator.itruediv: operator.truediv, torch.relu_: torch.relu,
} | {f"{name}_": name for name in POINTWISE_METHODS}  # fmt: skip

CONCATENATIONS = (torch.cat, torch.concat, torch.concatenate)

#: Layers that are called as functions too, and their parameters there, by position.
LAYERS_OF: dict[Any, tuple[type[nn.Module], tuple[str, ...]]] = {
    functional.max_pool2d: (
        nn.MaxPool2d,
        ("kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices"),
    ),
    functional.avg_pool2d: (
        nn.AvgPool2d,
        ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad", "divisor_override"),
    ),
}


class NotIncremental(Exception):
    """Why patched rows take whole passes through a network, in words that go on from "whole passes: "."""


@dataclass(frozen=True)
class Local:
    """An operation whose output at a place depends on what is around that place alone.

    operands  the maps that it is done to
    sweeps    its way over each of them, along the rows of places and along the columns
    whole     does it: maps [n, C, H, W] -> a map
    window    does it with no padding: windows of maps -> a window
    blank     what is around a map
    """

    operands: tuple[Node, ...]
    sweeps: tuple[Sweep, Sweep]
    whole: Callable[..., Tensor]
    window: Callable[..., Tensor]
    blank: float = 0.0


@dataclass(frozen=True)
class Anatomy:
    """A network's operations in their order: the first is the image, the last what comes out.

    nodes          all that depend on the image
    locals         those that are local
    shapes         [1, C, H, W] of the image, and of what comes out of local operations
    functions      what the others do, beside their operands
    fixed          what depends on no image, and what it is
    multiply_adds  of each operation, for one whole row: those of layers with weights
    spent          what is not asked for again after each operation
    """

    nodes: tuple[Node, ...]
    locals: Mapping[Node, Local]
    shapes: Mapping[Node, torch.Size]
    functions: Mapping[Node, Callable[..., Any]]
    fixed: Mapping[Node, Any]
    multiply_adds: Mapping[Node, int]
    spent: Mapping[Node, Sequence[Node]]

    def perform(self, node: Node, value: Callable[[Node], Any]) -> Any:
        """What comes out of `node`, given the `value` of those before it."""
        args, kwargs = _given(node, lambda before: self.fixed[before] if before in self.fixed else value(before))
        return self.functions[node](*args, **kwargs)

    def wants_shape(self, node: Node) -> bool:
        """Whether `node` asks a map for its shape alone."""
        if not node.args or node.args[0] not in self.shapes:
            return False
        return (node.op == "call_method" and node.target in ("size", "dim")) or (
            node.target is getattr and node.args[1] in ("shape", "ndim")
        )


@torch.no_grad()
def dissect(module: nn.Module, image: Tensor) -> Anatomy:
    """The anatomy of `module`, which takes images like `image` [1, C, H, W]. Raises NotIncremental."""
    graph = _traced(module)
    layers = _layers(module, graph)
    if hooked := [name for name, layer in layers.items() if layer._forward_hooks or layer._forward_pre_hooks]:
        raise NotIncremental(f"{hooked[0]} has hooks, which may do anything")
    values: dict[Node, Any] = {}
    local_ones: dict[Node, Local] = {}
    shapes: dict[Node, torch.Size] = {}
    functions: dict[Node, Callable[..., Any]] = {}
    fixed: dict[Node, Any] = {}
    counts: dict[Node, int] = {}
    anatomy = Anatomy(tuple(graph.nodes), local_ones, shapes, functions, fixed, counts, _spent(graph))
    for node in graph.nodes:
        if node.op == "placeholder":
            values[node], shapes[node] = image, image.shape
        elif node.op == "get_attr":
            fixed[node] = operator.attrgetter(str(node.target))(module)
        elif node.op != "output":
            functions[node] = _function(layers, node)
            y = anatomy.perform(node, values.__getitem__)
            if all(before in fixed for before in node.all_input_nodes):
                fixed[node] = y
                continue
            values[node] = y
            layer = _layer(layers, node)
            counts[node] = _multiply_adds(layer, y)
            if local := _local(node, layer, y, anatomy, _read_once(node.all_input_nodes[0], layers)):
                local_ones[node], shapes[node] = local, y.shape
            _refuse_to_write_over(node, layers)
        for spent in anatomy.spent[node]:
            values.pop(spent, None)
    return replace(anatomy, nodes=tuple(node for node in graph.nodes if node not in fixed))


class _Tracer(fx.Tracer):
    """Reads code down to torch's own layers."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, Accompanied) or super().is_leaf_module(m, module_qualified_name)


def _traced(module: nn.Module) -> fx.Graph:
    try:
        graph = _Tracer().trace(module)
    except Exception as e:  # the recipe's own code, run with stand-ins for tensors, may raise anything
        why = f"{e}".partition("\n")[0].removesuffix(".")
        raise NotIncremental(f"its code cannot be read as a graph ({type(e).__name__}: {why})") from e
    if not isinstance(_last(graph.nodes).args[0], Node):
        raise NotIncremental("more than logits comes out of it")
    return graph


def _layers(module: nn.Module, graph: fx.Graph) -> dict[str, nn.Module]:
    """The layers that `graph` calls, by name: each as it is, but a batch norm can do its work in place."""
    names = {str(node.target) for node in graph.nodes if node.op == "call_module"}
    layers = {name: module.get_submodule(name) for name in names}
    layers = {name: layer.layer if isinstance(layer, Accompanied) else layer for name, layer in layers.items()}
    return {
        name: ScaleAndShift(layer) if type(layer) is nn.BatchNorm2d and layer.track_running_stats else layer
        for name, layer in layers.items()
    }


class ScaleAndShift(nn.Module):
    """What a batch norm does in eval mode, in place or not, to the bit.

    On a CPU most of a batch norm's time goes into a new map for what comes out: in place it took a fifth of it. To fold
    it into the convolution before is quicker still, and rounds otherwise: occlusion maps of EfficientNet-Lite0 were off
    by up to 1.7e-5 of their largest value then.
    """

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        super().__init__()
        self.inplace = False
        assert norm.running_mean is not None and norm.running_var is not None
        scale = 1 / torch.sqrt(norm.running_var + norm.eps)
        scale = scale if norm.weight is None else scale * norm.weight
        bias = torch.zeros_like(scale) if norm.bias is None else norm.bias
        shift = torch.addcmul(bias, norm.running_mean, scale, value=-1)
        self.scale, self.shift = scale.view(-1, 1, 1), shift.view(-1, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.addcmul(self.shift, x, self.scale, out=x if self.inplace else None)


def _spent(graph: fx.Graph) -> dict[Node, list[Node]]:
    return {node: [before for before in node.all_input_nodes if _last(before.users) is node] for node in graph.nodes}


def _last(nodes: Iterable[Node]) -> Node:
    return list(nodes)[-1]


def _given(node: Node, value: Callable[[Node], Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of `node`, which is told to leave its operand as it is."""
    args, kwargs = map_arg((node.args, node.kwargs), value)
    return args, {**kwargs, "inplace": False} if "inplace" in kwargs else kwargs


def _layer(layers: Mapping[str, nn.Module], node: Node) -> nn.Module | None:
    """The layer that `node` calls, or that does what the function does which it calls."""
    if node.op == "call_module":
        return layers[str(node.target)]
    if node.target in LAYERS_OF and len(node.all_input_nodes) == 1:
        kind, names = LAYERS_OF[node.target]
        return kind(**dict(zip(names, node.args[1:], strict=False)), **node.kwargs)
    return None


def _function(layers: Mapping[str, nn.Module], node: Node) -> Callable[..., Any]:
    """What `node` does, beside its operand where it would write over it."""
    target = BESIDE.get(node.target, node.target)
    if node.op == "call_method":
        return lambda x, *args, **kwargs: getattr(x, target)(*args, **kwargs)
    if node.op == "call_function":
        return target  # type: ignore[no-any-return]
    return _writing_over(layers[str(node.target)], False)


def _writing_over(layer: nn.Module, over: bool) -> nn.Module:
    """`layer`, which works in place or beside its operand, as `over` says, if it can do either."""
    if getattr(layer, "inplace", over) == over:
        return layer
    layer = copy(layer)
    layer.inplace = over  # type: ignore[assignment]
    return layer


def _refuse_to_write_over(node: Node, layers: Mapping[str, nn.Module]) -> None:
    """Raise NotIncremental where `node` writes over a map that others read: here it is done beside it."""
    if _writes(node, layers) and any(len(over.users) > 1 for over in _memory(node.all_input_nodes[0], layers)):
        raise NotIncremental(f"{name_of(node)} writes over what others read")


def _writes(node: Node, layers: Mapping[str, nn.Module]) -> bool:
    """Whether the network has `node` write over its operand."""
    if node.op == "call_module":
        return bool(getattr(layers[str(node.target)], "inplace", False))
    asked = node.kwargs.get("inplace") or (node.op == "call_function" and any(arg is True for arg in node.args[1:]))
    return bool(asked) or node.target in BESIDE


def _memory(node: Node, layers: Mapping[str, nn.Module]) -> Iterator[Node]:
    """The nodes whose memory may be that of what `node` gives: its own, and those before it unless it makes its own."""
    yield node
    if node.op == "call_module":
        layer = layers[str(node.target)]
        makes = isinstance(layer, MAKERS) or getattr(layer, "inplace", None) is False
    else:
        makes = node.target in CONCATENATIONS or (node.target in POINTWISE_FUNCTIONS - {functional.dropout})
    if node.all_input_nodes and (not makes or _writes(node, layers)):
        yield from _memory(node.all_input_nodes[0], layers)


def _multiply_adds(layer: nn.Module | None, y: Any) -> int:
    """Of `layer`, for one row, whose output is `y` [1, ...]: each weight serves at each place of it."""
    weights = sum(weight.numel() for weight in layer.parameters() if weight.ndim > 1) if layer else 0
    if not weights:
        return 0
    shape = (y if isinstance(y, Tensor) else y[0]).shape
    return weights * math.prod(shape) // shape[1 if isinstance(layer, nn.Conv2d) else -1]


def _read_once(node: Node, layers: Mapping[str, nn.Module]) -> bool:
    """Whether `node` gives a map of its own making, as a convolution does, that is read at one place alone."""
    while len(node.users) == 1 and node.op == "call_module":
        layer = layers[str(node.target)]
        if isinstance(layer, MAKERS):
            return True
        if not isinstance(layer, ScaleAndShift):
            return False
        node = node.all_input_nodes[0]
    return False


def _local(node: Node, layer: nn.Module | None, y: Any, anatomy: Anatomy, alone: bool) -> Local | None:
    """`node` as a local operation that gives `y`; None where it is none. `alone`: nobody else reads its operand."""
    operands = tuple(before for before in node.all_input_nodes if before not in anatomy.fixed)
    if not isinstance(y, Tensor) or y.ndim != 4 or not all(x in anatomy.shapes for x in operands):
        return None

    def whole(*maps: Tensor) -> Tensor:
        done: Tensor = anatomy.perform(node, dict(zip(operands, maps, strict=True)).__getitem__)
        return done

    if _pointwise(node, layer, y, operands, anatomy):
        # Windows are this pass's own: where nobody else reads them, they are written over. Maps are kept.
        window = _writing_over(layer, True) if node.op == "call_module" and layer and alone else whole
        return Local(operands, (Sweep.still(y.shape[2]), Sweep.still(y.shape[3])), whole, window)
    if layer is None or (kernel := _kernel(layer)) is None:
        return None
    along = zip(*kernel.geometry, anatomy.shapes[operands[0]][2:], y.shape[2:], strict=True)
    down, across = (Sweep(d * (k - 1) + 1, s, p, length, outputs) for k, s, d, p, length, outputs in along)
    return Local(operands, (down, across), whole, kernel.window, kernel.blank)


def _pointwise(node: Node, layer: nn.Module | None, y: Tensor, operands: Sequence[Node], anatomy: Anatomy) -> bool:
    """Whether `node` treats each place by itself."""
    if any(anatomy.shapes[x][2:] != y.shape[2:] for x in operands):
        return False
    if node.op == "call_module":
        return isinstance(layer, (ScaleAndShift, *POINTWISE_LAYERS))
    if node.target in CONCATENATIONS:
        return (node.args[1] if len(node.args) > 1 else node.kwargs.get("dim", 0)) in (1, -3)
    known = POINTWISE_METHODS if node.op == "call_method" else POINTWISE_FUNCTIONS
    fixed = [anatomy.fixed[x] for x in node.all_input_nodes if x in anatomy.fixed]
    return BESIDE.get(node.target, node.target) in known and all(map(_same_everywhere, fixed))


def _same_everywhere(constant: Any) -> bool:
    """Whether `constant` is the same at each place of a map that it is added to or multiplied with."""
    return not isinstance(constant, Tensor) or constant.numel() == 1 or tuple(constant.shape[-2:]) == (1, 1)


class _Kernel(NamedTuple):
    """What sweeps over a map.

    geometry  size, stride, dilation, and padding above and on the left: down and across, each
    window    what it does, without padding
    blank     what it pads with
    """

    geometry: tuple[tuple[int, int], ...]
    window: Callable[[Tensor], Tensor]
    blank: float = 0.0


def _kernel(layer: nn.Module) -> _Kernel | None:
    """The kernel of `layer`; None where it has none, or does something else at the borders than to pad."""
    once = 1, 1
    match layer:
        case nn.Conv2d(padding_mode="zeros", stride=stride, dilation=dilation):
            convolve = partial(functional.conv2d, weight=layer.weight, bias=layer.bias, groups=layer.groups)
            window = partial(convolve, stride=stride, dilation=dilation)
            return _Kernel((_two(layer.kernel_size), _two(stride), _two(dilation), _before(layer)), window)
        case nn.MaxPool2d(return_indices=False):
            size, stride, dilation, before = map(_two, (layer.kernel_size, layer.stride, layer.dilation, layer.padding))
            window = partial(functional.max_pool2d, kernel_size=size, stride=stride, dilation=dilation)
            return _Kernel((size, stride, dilation, before), window, -math.inf)
        case nn.AvgPool2d(ceil_mode=False) if layer.count_include_pad or _two(layer.padding) == (0, 0):
            size, stride, before = map(_two, (layer.kernel_size, layer.stride, layer.padding))
            divisor = layer.divisor_override
            window = partial(functional.avg_pool2d, kernel_size=size, stride=stride, divisor_override=divisor)
            return _Kernel((size, stride, once, before), window)
        case nn.ConstantPad2d(padding=(left, right, top, bottom)) if min(left, right, top, bottom) >= 0:
            return _Kernel((once, once, once, (top, left)), lambda x: x, layer.value)
    return None


def _before(convolution: nn.Conv2d) -> tuple[int, int]:
    """Places of padding above and on the left."""
    if convolution.padding == "valid":
        return 0, 0
    if convolution.padding == "same":
        extents = zip(_two(convolution.dilation), _two(convolution.kernel_size), strict=True)
        above, left = (dilation * (size - 1) // 2 for dilation, size in extents)
        return above, left
    return _two(convolution.padding)


def _two(value: Any) -> tuple[int, int]:
    """One number for both axes, or one for each."""
    down, across = (value, value) if isinstance(value, int) else (*value, *value)[:2]  # one may be in a list
    return down, across


def name_of(node: Node) -> str:
    """What a reply calls `node`: a layer by its path in the network, a function by its name."""
    return str(node.target).removeprefix("network.") if node.op == "call_module" else node.name.strip("_")
