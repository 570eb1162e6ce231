"""What a network is to the engine: who answers, and the row counts whose bits are known."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from rakinglight.backends.torch_backend import TorchBackend
from rakinglight.errors import InternalError
from rakinglight.network import PASS_S, TRIED, Ladder, Network, Scorer
from rakinglight.objectives import CrossEntropy, Logit
from rakinglight.queries import Forward, Gradient, Query
from tests.networks import abacus_network, network_of

IMAGE = torch.rand(1, 4, 200, generator=torch.Generator().manual_seed(0))


class Clock:
    """Time that passes only when somebody works."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("rakinglight.network.time", clock)
    return clock


def rounding(
    clock: Clock, families: dict[int, int], seconds: Callable[[int], float]
) -> Callable[[Tensor], tuple[Tensor]]:
    """Answers that have other bits in another family.

    families  row count -> its family; a count that is not named is a family of its own
    seconds   what a pass of so many rows takes
    """

    def answer(rows: Tensor) -> tuple[Tensor]:
        n = len(rows)
        clock.now += seconds(n)
        return (rows.double().sum((1, 2, 3)) + 1e-9 * families.get(n, 100 + n),)

    return answer


#: As they were found on one CPU.
ONE_TWO_SIXTEEN = {n: 0 if n < 2 else 1 if n < 16 else 2 for n in TRIED}
EVERY_ONE_ALIKE = dict.fromkeys(TRIED, 0)


@pytest.mark.parametrize(
    ("families", "seconds", "counts"),
    [
        pytest.param(EVERY_ONE_ALIKE, lambda n: n / 1024, TRIED, id="all agree"),
        pytest.param(EVERY_ONE_ALIKE, lambda n: PASS_S / 12 * n, TRIED[:7], id="up to the longest pass"),
        pytest.param(EVERY_ONE_ALIKE, lambda n: float(n), TRIED[:4], id="a few share even if it takes long"),
        pytest.param({}, lambda n: n / 1024, (8,), id="none agree"),
        pytest.param({}, lambda n: float(n), (8,), id="none agree and all take long"),
        pytest.param(ONE_TWO_SIXTEEN, lambda n: (8 + n) / 1024, TRIED[1:7], id="the family of eight"),
        pytest.param(ONE_TWO_SIXTEEN, lambda n: (1 + n) / 64, TRIED[1:6], id="eight take too long no less"),
    ],
)
@pytest.mark.parametrize("slow", [1, 50], ids=["at rest", "in a busy moment"])
def test_the_probe_finds_the_counts_that_agree(
    clock: Clock, families: dict[int, int], seconds: Callable[[int], float], counts: tuple[int, ...], slow: int
) -> None:
    found = Ladder.probe(rounding(clock, families, lambda n: slow * seconds(n)), IMAGE).counts
    # A busy moment may make passes shorter. It never changes a bit: the counts are of one family all the same.
    assert found == counts[: len(found)] if slow > 1 else found == counts


def test_the_probe_leaves_out_counts_where_a_rows_place_matters(clock: Clock) -> None:
    steady = rounding(clock, EVERY_ONE_ALIKE, lambda n: n / 1024)

    def answer(rows: Tensor) -> tuple[Tensor]:
        (found,) = steady(rows)
        return (found + 1e-9 * torch.arange(len(rows)) if len(rows) in (3, 64) else found,)

    assert Ladder.probe(answer, IMAGE).counts == tuple(n for n in TRIED if n not in (3, 64))


def test_the_probe_looks_at_every_tensor_of_the_answer(clock: Clock) -> None:
    same, other = (rounding(clock, families, lambda n: n / 1024) for families in (EVERY_ONE_ALIKE, {}))
    assert len(Ladder.probe(lambda rows: same(rows) + other(rows), IMAGE).counts) == 1


def test_a_network_that_never_answers_alike_is_refused(clock: Clock) -> None:
    with pytest.raises(InternalError, match=r"same rows .* eval mode"):
        Ladder.probe(lambda rows: (torch.rand(len(rows)),), IMAGE)


@pytest.mark.parametrize(("n", "padded"), [(1, 2), (2, 2), (3, 5), (5, 5), (6, 9), (9, 9)])
def test_a_ladder_pads_to_the_next_rung(n: int, padded: int) -> None:
    ladder = Ladder((2, 5, 9))
    assert ladder.limit == 9
    assert ladder.padded(n) == padded


def convolution() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 6 * 6, 100), nn.Linear(100, 5))


@pytest.fixture(scope="module")
def backend() -> TorchBackend:
    return TorchBackend(convolution(), (0.5, 0.4, 0.3), (0.2, 0.3, 0.4))


def test_a_probed_ladder_keeps_its_promise(backend: TorchBackend) -> None:
    card = network_of("small", convolution(), (3, 8, 8)).card
    network = Network.probed(card, [backend], backend)
    assert network.gradient_ladder is not None
    x = torch.rand(network.gradient_ladder.limit, 3, 8, 8, generator=torch.Generator().manual_seed(5))
    whole = backend.gradient(x, CrossEntropy(1))
    for n in network.gradient_ladder.counts:
        few = backend.gradient(x[-n:], CrossEntropy(1))
        assert torch.equal(few.gradient, whole.gradient[-n:])
        assert torch.equal(few.objective, whole.objective[-n:])


def test_the_torch_backend_is_the_module_with_its_normalisation_in_front(backend: TorchBackend) -> None:
    module = convolution().eval()
    x = torch.rand(6, 3, 8, 8, requires_grad=True)
    mean, std = torch.tensor([0.5, 0.4, 0.3]).view(-1, 1, 1), torch.tensor([0.2, 0.3, 0.4]).view(-1, 1, 1)
    logits = module((x - mean) / std)
    (g,) = torch.autograd.grad(logits[:, 2].sum(), x)
    torch.testing.assert_close(backend.forward(x).logits, logits)
    torch.testing.assert_close(backend.gradient(x, Logit(2)).gradient, g)


def test_activations_are_those_of_the_named_layers(backend: TorchBackend) -> None:
    x = torch.rand(2, 3, 8, 8)
    heard = backend.forward(x, ("1", "3")).activations
    assert {layer: tuple(a.shape) for layer, a in heard.items()} == {"1": (2, 8, 6, 6), "3": (2, 100)}
    assert (heard["1"] >= 0).all()


def test_listening_leaves_no_hook_behind(backend: TorchBackend) -> None:
    backend.forward(torch.rand(2, 3, 8, 8), ("1",))
    with pytest.raises(AttributeError):
        backend.forward(torch.rand(2, 3, 8, 8), ("1", "no such layer"))
    assert not any(module._forward_hooks for module in backend.module.modules())


def test_a_backend_never_writes_to_the_rows_it_is_given(backend: TorchBackend) -> None:
    x = torch.rand(2, 3, 8, 8)
    before = x.clone()
    backend.forward(x)
    backend.gradient(x, Logit(0))
    assert torch.equal(x, before)
    assert not x.requires_grad


def test_parameters_gather_no_gradients(backend: TorchBackend) -> None:
    backend.gradient(torch.rand(2, 3, 8, 8), Logit(0))
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in backend.module.parameters())


def test_scores_come_from_one_backend_and_slopes_and_activations_from_the_other() -> None:
    one, other = abacus_network((2,)), abacus_network((4,))
    network = Network(one.card, one.forward, other.gradient, one.forward_ladder, other.gradient_ladder)
    x = torch.rand(1, 2, 3)
    forward, gradient = (one.forward, Ladder((2,))), (other.gradient, Ladder((4,)))
    assert answered_by(network, Forward(x)) == forward
    assert answered_by(network, Gradient(x, Logit(0))) == gradient
    assert answered_by(network, Forward(x, ("doubled",))) == gradient


def test_without_gradients_activations_come_from_whoever_is_there() -> None:
    network = abacus_network(gradients=False)
    doubled = Forward(torch.rand(1, 2, 3), ("doubled",))
    assert answered_by(network, doubled) == (network.forward, network.forward_ladder)


def answered_by(network: Network, query: Query) -> tuple[Scorer, Ladder]:
    who = network.scorer(query) if isinstance(query, Forward) else network.differentiator(query)
    return who, network.ladder(query)


# ── by a layer, and with random weights ─────────────────────────────────────────────────────────────────────────────


def test_the_derivative_by_a_layer_is_that_of_what_comes_after_it(backend: TorchBackend) -> None:
    x = torch.rand(2, 3, 8, 8)
    A = backend.forward(x, ("1",)).activations["1"].requires_grad_()
    after = backend.module.network[2:]
    (g,) = torch.autograd.grad(after(A)[:, 3].sum(), A)
    value, at_layer, _ = backend.gradient(x, Logit(3), wrt="1")
    torch.testing.assert_close(at_layer, g, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(value, backend.forward(x).logits[:, 3])


def test_what_is_written_over_in_place_was_heard_before() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3, bias=False), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(8, 2))
    backend = TorchBackend(network, (0.0,), (1.0,))
    x = torch.rand(1, 1, 4, 4) - 0.5
    heard = backend.forward(x, ("0",)).activations["0"]
    torch.testing.assert_close(heard, network[0](x))
    g = backend.gradient(x, Logit(0), wrt="0").gradient
    torch.testing.assert_close(g, network[3].weight[0].view(1, 2, 2, 2) * (heard > 0))


def test_random_weights_are_there_for_one_pass_and_the_last_layers_only(backend: TorchBackend) -> None:
    x = torch.rand(2, 3, 8, 8)
    before = backend.forward(x, ("0",))
    some = backend.randomized(0.5).forward(x, ("0",))
    assert torch.equal(some.activations["0"], before.activations["0"])
    assert not torch.allclose(some.logits, before.logits)
    assert not torch.allclose(backend.randomized(1.0).forward(x, ("0",)).activations["0"], before.activations["0"])
    assert torch.equal(backend.randomized(0.5).forward(x).logits, some.logits)
    assert torch.equal(backend.forward(x).logits, before.logits)
