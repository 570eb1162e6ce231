"""Between an image of any size and what the model sees: the geometry, the linear operator and its transpose."""

from collections.abc import Generator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import interpolate

from rakinglight.geometry import Geometry
from rakinglight.objectives import Logit
from rakinglight.queries import Compute, Forward, Gradient, Progress, Scores, Slope, Stopped
from rakinglight.view import View, through

SIZES = [
    pytest.param(300, 451, (3, 224, 224), 0, id="chelsea"),
    pytest.param(512, 512, (3, 224, 224), 256, id="with a margin to crop"),
    pytest.param(7, 5, (1, 28, 28), 0, id="odd and small"),
    pytest.param(1, 1, (3, 8, 8), 0, id="one pixel"),
    pytest.param(1, 300, (3, 16, 16), 0, id="one row"),
    pytest.param(2000, 3, (3, 16, 16), 0, id="a needle"),
    pytest.param(33, 32, (1, 32, 32), 0, id="one row too many"),
    pytest.param(31, 32, (1, 32, 32), 0, id="one row too few"),
    pytest.param(90, 60, (3, 20, 31), 33, id="a model that is not square"),
]


@pytest.mark.parametrize(("height", "width", "input_shape", "resize"), SIZES)
def test_a_view_is_torchs_antialiased_resize_and_a_central_crop(
    height: int, width: int, input_shape: tuple[int, int, int], resize: int
) -> None:
    geometry = Geometry.of(height, width, input_shape, resize)
    x = torch.rand(2, input_shape[0], height, width, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    resized = interpolate(x, geometry.resized, mode="bilinear", antialias=True)
    top, left, h, w = geometry.crop
    expected = resized[..., top : top + h, left : left + w]
    torch.testing.assert_close(View(geometry, x)(x), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("height", "width", "input_shape", "resize"), SIZES)
def test_the_crop_is_central_and_fits(height: int, width: int, input_shape: tuple[int, int, int], resize: int) -> None:
    geometry = Geometry.of(height, width, input_shape, resize)
    top, left, h, w = geometry.crop
    assert (h, w) == input_shape[1:]
    below, right = geometry.resized[0] - top - h, geometry.resized[1] - left - w
    assert 0 <= below - top <= 1
    assert 0 <= right - left <= 1
    assert (h, w) == geometry.resized or resize or h / height != w / width


@settings(deadline=None, max_examples=60)
@given(
    height=st.integers(1, 70),
    width=st.integers(1, 70),
    h=st.integers(1, 20),
    w=st.integers(1, 20),
    margin=st.integers(0, 10),
)
def test_the_pullback_is_the_transpose(height: int, width: int, h: int, w: int, margin: int) -> None:
    """<A x, y> = <x, A^T y> for all x and y."""
    noise = torch.Generator().manual_seed(2)
    x = torch.rand(1, height, width, generator=noise, dtype=torch.float64)
    y = torch.randn(1, h, w, generator=noise, dtype=torch.float64)
    view = View(Geometry.of(height, width, (1, h, w), margin and min(h, w) + margin), x)
    torch.testing.assert_close((view(x) * y).sum(), (x * view.pullback(y)).sum())


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 200), st.integers(1, 200), st.integers(1, 40), st.integers(1, 40))
def test_every_row_of_the_operator_is_an_average(height: int, width: int, h: int, w: int) -> None:
    for matrix in Geometry.of(height, width, (3, h, w)).matrices():
        assert (matrix >= 0).all()
        np.testing.assert_allclose(matrix.sum(1), 1)


def test_the_models_own_size_is_used_pixel_for_pixel() -> None:
    geometry = Geometry.of(224, 224, (3, 224, 224), resize=256)
    x = torch.rand(3, 224, 224)
    view = View(geometry, x)
    assert geometry.identity
    assert view(x) is x
    assert view.pullback(x) is x


def test_what_the_model_sees_is_in_zero_to_one() -> None:
    """Rounding of the matrices may leave it by a bit in the last place."""
    white = torch.ones(3, 301, 222)
    assert View(Geometry.of(301, 222, (3, 64, 64)), white)(white).max() <= 1


VIEW = View(Geometry.of(6, 6, (1, 3, 3)), torch.zeros(1))


def test_an_algorithm_works_at_its_own_size_and_the_model_at_its_own() -> None:
    x = torch.rand(1, 6, 6)

    def algorithm() -> Generator[object, object, object]:
        logits, _ = yield Forward(x)  # type: ignore[misc]
        slope = yield Gradient(x, Logit(0))
        return logits, slope

    flow = through(VIEW, algorithm())
    asked = next(flow)
    torch.testing.assert_close(asked.rows, VIEW(x))
    asked = flow.send(Scores(torch.ones(2)))
    assert asked.rows.shape == (1, 3, 3)
    g = torch.rand(1, 3, 3)
    with pytest.raises(StopIteration) as done:
        flow.send(Slope(torch.tensor(5.0), g, torch.zeros(4)))
    logits, slope = done.value.value
    assert logits.tolist() == [1, 1]
    assert slope.objective == 5
    torch.testing.assert_close(slope.gradient, VIEW.pullback(g))


def test_progress_and_work_pass_untouched() -> None:
    news, work = Progress(1, 2, best=torch.ones(1, 6, 6)), Compute(lambda: 3)

    def algorithm() -> Generator[object, object, object]:
        yield news
        return (yield work)

    flow = through(VIEW, algorithm())
    assert next(flow) is news
    assert flow.send(None) is work
    with pytest.raises(StopIteration) as done:
        flow.send(3)
    assert done.value.value == 3


def test_what_is_thrown_in_reaches_the_algorithm() -> None:
    def algorithm() -> Generator[object, object, object]:
        try:
            yield Forward(torch.rand(1, 6, 6))
        except Stopped as stopped:
            return stopped.reason

    flow = through(VIEW, algorithm())
    next(flow)
    with pytest.raises(StopIteration) as done:
        flow.throw(Stopped("rows"))
    assert done.value.value == "rows"


def test_what_the_algorithm_raises_comes_out() -> None:
    def algorithm() -> Generator[object, object, object]:
        yield Forward(torch.rand(1, 6, 6))
        raise ZeroDivisionError

    flow = through(VIEW, algorithm())
    next(flow)
    with pytest.raises(ZeroDivisionError):
        flow.send(Scores(torch.zeros(2)))


def test_closing_the_view_closes_the_algorithm() -> None:
    closed = []

    def algorithm() -> Generator[object, object, object]:
        try:
            yield Forward(torch.rand(1, 6, 6))
        finally:
            closed.append(True)

    flow = through(VIEW, algorithm())
    next(flow)
    flow.close()
    assert closed == [True]
