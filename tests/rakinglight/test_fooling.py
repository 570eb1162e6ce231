"""Fooling images: what is asked is of 8 bits and counted, what comes out holds as a file, and how pictures evolve."""

import colorsys
import io
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from rakinglight import eight_bit, pictures
from rakinglight.algorithms import cppn
from rakinglight.algorithms.evolution import Direct, Search, evolved, noise_pictures, parents, rounded
from rakinglight.algorithms.fooling import fooling
from rakinglight.engine import Engine
from rakinglight.errors import BadParameter
from rakinglight.images import decode
from rakinglight.inverted import Inverted
from rakinglight.network import Network
from rakinglight.noise import Noise
from rakinglight.queries import Algorithm, Compute, Forward, Gradient, Progress, Query, Scores
from rakinglight.rows import made
from rakinglight.states import to_arrays, to_tensors
from rakinglight.subject import Subject
from tests.cases import one
from tests.networks import abacus_network, network_of

SHAPE = (3, 10, 12)
SMALL = network_of("small", nn.Sequential(nn.Flatten(), nn.Linear(3 * 10 * 12, 5)), SHAPE)
X = torch.zeros(SHAPE)
ENCODINGS = ("gradient", "direct", "cppn")
each_encoding = pytest.mark.parametrize("encoding", ENCODINGS)


def played(algorithm: Algorithm[Any], network: Network) -> tuple[list[Query], list[Progress], Any]:
    """Drive to the end: what was asked, what was told, what was found."""
    asked, told, engine, answer = list[Query](), list[Progress](), Engine([network]), None
    while True:
        try:
            what = algorithm.send(answer)
        except StopIteration as done:
            return asked, told, done.value
        answer = None
        if isinstance(what, Progress):
            told.append(what)
        elif isinstance(what, Compute):
            answer = what.function()
        else:
            asked.append(what)
            answer = engine.drive(one(what))


@each_encoding
def test_a_digit_is_seen_in_a_file_in_which_nobody_sees_one(lenet: Network, encoding: Any) -> None:
    digit, x = 8, torch.zeros(lenet.card.input_shape)
    found = Engine([lenet]).drive(
        fooling(x, lenet.card, Noise(0), target=str(digit), encoding=encoding, noise_images=100)
    )
    file = pictures.to_png(pictures.from_pixels(eight_bit.from_float(found.image.numpy())))
    subject = Subject.of(lenet.card, decode(file))
    said = subject.prediction(Engine([lenet]).drive(subject.scores(subject.x)))
    assert said["index"] == digit
    assert said["probability"] == pytest.approx(found.said["confidence"], abs=1e-12)
    assert said["probability"] > 0.996
    assert found.said["fooled"]
    assert found.said["target"] == {"index": digit, "label": str(digit)}
    assert torch.equal(subject.x, found.image)
    assert found.said["noise"]["confidence"] < 0.996
    assert found.trace[-1][0] == pytest.approx(-math.log(said["probability"]))


@each_encoding
def test_all_that_is_asked_is_of_8_bits_and_no_row_too_many(encoding: Any) -> None:
    run = fooling(
        X, SMALL.card, Noise(1), target=2, encoding=encoding, confidence=1 - 1e-12, queries=47, noise_images=9
    )
    asked, told, found = played(run, SMALL)
    rows = torch.cat([made(query.batch) for query in asked])
    files = [eight_bit.to_float(eight_bit.from_float(row.numpy())) for row in rows]
    assert torch.equal(rows, torch.from_numpy(np.stack(files)))
    assert found.said["evaluations"] == 47
    assert len(rows) == 47 + 9
    assert [progress.step for progress in told] == sorted({progress.step for progress in told})
    assert told[-1].step == told[-1].of == 56
    assert not found.said["fooled"]
    assert {type(query) for query in asked} == ({Gradient, Forward} if encoding == "gradient" else {Forward})


def test_it_ends_at_the_first_that_is_sure_enough() -> None:
    _, told, found = played(fooling(X, SMALL.card, Noise(0), target=0, confidence=0.9, noise_images=0), SMALL)
    energies = [energy for (energy,) in found.trace]
    assert all(energy >= -math.log(0.9) for energy in energies[:-1])
    assert energies[-1] < -math.log(0.9)
    assert found.said["evaluations"] == len(energies) + 1  # of the last, `Forward` had to say it, too
    assert len(told) == len(energies)
    assert "noise" in found.said
    assert found.said["noise"] is None


@each_encoding
def test_the_search_does_not_depend_on_the_control(encoding: Any) -> None:
    without, beside = (
        Engine([SMALL]).drive(fooling(X, SMALL.card, Noise(3), target=4, encoding=encoding, queries=40, noise_images=n))
        for n in (0, 130)
    )
    assert torch.equal(without.image, beside.image)
    assert beside.said["noise"]["images"] == 130


def test_the_control_is_the_best_of_the_noise() -> None:
    asked, _, found = played(fooling(X, SMALL.card, Noise(0), target=1, confidence=0.5, noise_images=100), SMALL)
    rows = torch.cat([made(query.batch) for query in asked if len(query) > 1])
    said = Engine([SMALL]).drive(one(Forward(rows))).logits.softmax(1)[:, 1]
    assert len(rows) == found.said["noise"]["images"] == 100
    assert found.said["noise"]["confidence"] == pytest.approx(float(said.max()))


def test_without_gradients_the_evolutions_are_offered() -> None:
    network = abacus_network(gradients=False)
    x = torch.zeros(network.card.input_shape)
    with pytest.raises(BadParameter, match="'direct' and 'cppn'") as raised:
        Engine([network]).drive(fooling(x, network.card, Noise(0), target="birch"))
    assert raised.value.errors[0].pointer == "/parameters/encoding"
    for encoding in ("direct", "cppn"):
        found = Engine([network]).drive(
            fooling(x, network.card, Noise(0), target="birch", encoding=encoding, queries=50, noise_images=5)
        )
        assert isinstance(found, Inverted)
        assert found.image.shape == x.shape


@each_encoding
def test_cut_off_anywhere_it_comes_to_the_same_bits(encoding: Any) -> None:
    def begun(state: Mapping[str, Any] | None = None) -> Algorithm[Inverted]:
        return fooling(
            X, SMALL.card, Noise(5), state, target=3, encoding=encoding, confidence=1 - 1e-12, queries=24, population=5,
            noise_images=130,
        )  # fmt: skip

    kept = list[Any]()
    asked, told, found = played(recorded(begun(), kept), SMALL)
    assert len(kept) >= 6
    for i, state in enumerate(kept):
        again, more, same = played(begun(to_tensors(state)), SMALL)
        assert torch.equal(same.image, found.image)
        assert same.said == found.said
        assert same.trace == found.trace
        assert len(more) == len(told) - i - 1
        assert sum(map(len, again)) == sum(map(len, asked)) - told[i].step


def recorded(algorithm: Algorithm[Any], kept: list[Any]) -> Algorithm[Any]:
    """`algorithm`, of whose states copies are `kept`, as the wire takes them."""
    answer = None
    while True:
        try:
            what = algorithm.send(answer)
        except StopIteration as done:
            return done.value
        if isinstance(what, Progress):
            kept.append(to_arrays({**what.state, "step": what.step, "of": what.of}))  # type: ignore[dict-item]
        answer = yield what


def test_a_child_takes_the_place_of_every_champion_that_is_no_better() -> None:
    class Said:
        """Pictures of one value: the first generation 0, 1, 2, then 3, and 4."""

        def first(self, n: int, noise: Noise) -> Tensor:
            return torch.arange(n)

        def mutated(self, genomes: Tensor, generation: int, noise: Noise) -> Tensor:
            return torch.full_like(genomes, 2 + generation)

        def pictures(self, genomes: Tensor) -> Tensor:
            return genomes.float().view(-1, 1, 1, 1)

    p = {0: [0.5, 0.1, 0.4], 1: [0.1, 0.6, 0.3], 2: [0.3, 0.5, 0.2], 3: [0.2, 0.7, 0.1], 4: [0.5, 0.2, 0.3]}
    search = Search(torch.zeros(1, 1, 1), ("ash", "birch", "cedar"), 1, confidence=0.99, queries=9)
    told = list[Any]()

    def answered() -> Algorithm[Any]:
        run, answer = recorded(evolved(Said(), search, 3, Noise(0), {}), told), None
        while True:
            try:
                what = run.send(answer)
            except StopIteration as done:
                return done.value
            answer = None
            if isinstance(what, Compute):
                answer = yield what
            elif isinstance(what, Forward):
                answer = Scores(torch.tensor([p[int(row)] for row in made(what.batch).flatten()]).log())

    found = Engine([SMALL]).drive(answered())
    of_classes_1_2_0 = [state["champions"]["$tensor"].tolist() for state in told]
    assert of_classes_1_2_0 == [[1, 0, 0], [3, 0, 0], [3, 0, 4]]
    np.testing.assert_allclose(np.exp(told[1]["fitness"]["$tensor"]), [0.7, 0.4, 0.5], rtol=1e-6)
    assert found.p == pytest.approx(0.7)
    assert found.evaluations == 9


def test_half_of_the_children_are_the_targets() -> None:
    drawn = parents(20_000, 10, Noise(0)).bincount(minlength=10) / 20_000
    assert float(drawn[0]) == pytest.approx(0.5 + 0.05, abs=0.02)
    assert all(float(share) == pytest.approx(0.05, abs=0.01) for share in drawn[1:])


def test_of_many_classes_the_target_and_those_after_it_have_champions() -> None:
    many = network_of("many", nn.Sequential(nn.Flatten(), nn.Linear(4, 40)), (1, 2, 2))
    run = fooling(torch.zeros(1, 2, 2), many.card, Noise(0), target=30, encoding="direct", queries=60, noise_images=0)
    _, told, found = played(run, many)
    state = told[-1].state
    assert state is not None
    assert state["champions"].shape == (32, 1, 2, 2)
    said = Engine([many]).drive(one(Forward(state["champions"].float() / 255))).logits.log_softmax(1)
    of_its_own = [float(said[i, (30 + i) % 40]) for i in range(32)]
    np.testing.assert_allclose(state["fitness"], of_its_own, atol=1e-6)
    assert torch.equal(state["champions"][0].float() / 255, found.image)


def test_the_polynomial_operator_changes_a_tenth_by_a_seventeenth_of_the_range() -> None:
    direct, grey = Direct((1, 100, 100), 0.1), torch.full((10, 1, 100, 100), 128, dtype=torch.uint8)
    moved = direct.mutated(grey, 0, Noise(0)).double() - 128
    assert float((moved != 0).double().mean()) == pytest.approx(0.1 * (1 - 16 * 0.5 / 255), rel=0.03)
    # |delta| = 1 - v^(1/16), v uniform: its mean is 1/17, and it is below half a level with probability 16 * 0.5 / 255
    assert float(moved.abs().sum() / (0.1 * moved.numel())) == pytest.approx(255 / 17, rel=0.03)
    assert float(moved.mean()) == pytest.approx(0, abs=0.1)  # five standard errors
    later = direct.mutated(grey, 2000, Noise(0)) != 128
    assert float(later.double().mean()) == pytest.approx(0.1 / 4, rel=0.05)


def test_noise_has_every_level() -> None:
    levels = (noise_pictures(Noise(0), 4, (1, 64, 64)) * 255).round().long().flatten()
    assert levels.bincount(minlength=256).min() > 30
    assert levels.bincount(minlength=256).numel() == 256


def test_what_is_rounded_is_what_a_file_holds() -> None:
    x = torch.linspace(-0.1, 1.1, 9000).view(1, 90, 100)
    file = io.BytesIO()
    Image.fromarray(eight_bit.from_float(x.numpy())[..., 0]).save(file, "PNG")
    assert torch.equal(rounded(x), torch.from_numpy(eight_bit.to_float(decode(file.getvalue())[..., :1])))


def graph(channels: int, links: Mapping[tuple[int, int], float], functions: Mapping[int, str]) -> Tensor:
    """One of these links, {(to, from): weight}; a node is counted from 0, and what is seen from -1 backwards."""
    nodes = torch.zeros(1, cppn.nodes(channels), 1 + cppn.nodes(channels))
    for (i, j), weight in links.items():
        nodes[0, i, 1 + j] = weight
    for i, function in functions.items():
        nodes[0, i, 0] = cppn.FUNCTIONS.index(function)
    return nodes


def test_a_graph_paints_what_it_says() -> None:
    size, x, y = 9, np.linspace(-1, 1, 9)[None, :], np.linspace(-1, 1, 9)[:, None]
    # The grey is cos(pi (2 g(x) + 0.5 y)), where g, a node between, is a gaussian of 1.5 x.
    waves = graph(1, {(7, 0): 1.5, (-1, 7): 2.0, (-1, 1): 0.5}, {7: "gaussian", -1: "cosine"})
    (painted,) = cppn.painted(waves, (1, size, size))
    wanted = (np.cos(np.pi * (2 * (2 * np.exp(-((1.5 * x) ** 2)) - 1) + 0.5 * y)) + 1) / 2
    np.testing.assert_allclose(painted[0], wanted, atol=1e-5)
    np.testing.assert_allclose(painted[0], painted[0].flip(1), atol=1e-5)  # a gaussian of x is symmetric
    rings = cppn.painted(graph(1, {(-1, 2): 3.0}, {-1: "sine"}), (1, size, size))[0, 0]
    np.testing.assert_allclose(rings, rings.rot90(), atol=1e-5)


def test_three_channels_are_hue_saturation_and_value() -> None:
    constant = {(-3, 3): 0.3, (-2, 3): 0.6, (-1, 3): -0.2}
    (colour,) = cppn.painted(graph(3, constant, dict.fromkeys((-3, -2, -1), "linear")), (3, 2, 2))
    np.testing.assert_allclose(colour[:, 0, 0], colorsys.hsv_to_rgb(0.65, 0.8, 0.4), atol=1e-6)


@pytest.mark.parametrize("channels", [1, 3])
def test_graphs_stay_graphs_and_grow(channels: int) -> None:
    noise = Noise(0)
    graphs = cppn.first_graphs(50, channels, noise)
    N, sizes = cppn.nodes(channels), []
    for _ in range(40):
        sizes.append(float(cppn.used(graphs[:, :, 1:], channels).sum(1).float().mean()))
        graphs = cppn.mutated_graphs(graphs, channels, noise)
        W, functions = graphs[:, :, 1:], graphs[:, :, 0]
        assert not W[:, torch.ones(N, N).triu().bool()].any()  # by earlier nodes alone
        assert not W[:, : cppn.INPUTS].any()
        assert torch.equal(functions, functions.floor())
        assert 0 <= functions.min() <= functions.max() < len(cppn.FUNCTIONS)
    assert sizes[0] == cppn.INPUTS + channels
    assert sizes[-1] > sizes[0] + 4
    painted = cppn.painted(graphs, (channels, 6, 7))
    assert painted.isfinite().all()
    assert 0 <= painted.min() <= painted.max() <= 1


def test_a_node_is_put_into_a_link(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, probability in {"WEIGHTS": 0, "LINK": 0, "UNLINK": 0, "FUNCTION": 0, "NODE": 1}.items():
        monkeypatch.setattr(cppn, name, probability)
    before = graph(1, {(-1, 0): 0.7}, {-1: "linear"}).expand(20, -1, -1)
    between = set()
    for weights in cppn.mutated_graphs(before, 1, Noise(2))[:, :, 1:]:
        (k,) = weights[:-1].any(1).nonzero()[:, 0].tolist()
        assert weights[k].nonzero().tolist() == [[0]]
        assert weights[-1].nonzero().tolist() == [[k]]
        assert weights[k, 0] == 1
        assert float(weights[-1, k]) == pytest.approx(0.7)
        between.add(k)
    assert len(between) > 5
    assert cppn.INPUTS <= min(between) <= max(between) < cppn.nodes(1) - 1


def test_models_of_probabilities_are_fooled_by_their_scores() -> None:
    network = abacus_network(gradients=False)
    network = replace(network, card=replace(network.card, tells="probabilities"))
    x = torch.zeros(network.card.input_shape)
    found = Engine([network]).drive(
        fooling(x, network.card, Noise(0), target=0, encoding="direct", confidence=0.3, queries=200, noise_images=0)
    )
    assert found.said["evaluations"] <= 200
