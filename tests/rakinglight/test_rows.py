"""Rows that are described and made later: they are those that one would have made by hand."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from rakinglight.queries import Forward
from rakinglight.rows import Lazy, Masked, Patched, made

C, H, W, N = 2, 5, 6, 7
noise = torch.Generator().manual_seed(0)
X, FILL = torch.rand(2, C, H, W, generator=noise)
CORNERS = torch.stack(
    [torch.randint(0, H - 1, (N,), generator=noise), torch.randint(0, W - 2, (N,), generator=noise)], 1
)
CHANNELS = torch.randint(0, C, (N,), generator=noise)
MASKS = torch.rand(N, H, W, generator=noise)


def patched_by_hand() -> Tensor:
    rows = X.repeat(N, 1, 1, 1)
    for row, (top, left) in zip(rows, CORNERS.tolist(), strict=True):
        row[:, top : top + 2, left : left + 3] = FILL[:, top : top + 2, left : left + 3]
    return rows


def patched_by_hand_in_one_channel() -> Tensor:
    rows = X.repeat(N, 1, 1, 1)
    for row, (top, left), c in zip(rows, CORNERS.tolist(), CHANNELS.tolist(), strict=True):
        row[c, top : top + 2, left : left + 3] = FILL[c, top : top + 2, left : left + 3]
    return rows


def masked_by_hand() -> Tensor:
    return torch.stack([mask * X + (1 - mask) * FILL for mask in MASKS])


kinds = pytest.mark.parametrize(
    ("lazy", "by_hand"),
    [
        pytest.param(Patched(X, CORNERS, (2, 3), FILL), patched_by_hand, id="patched"),
        pytest.param(
            Patched(X, CORNERS, (2, 3), FILL, CHANNELS), patched_by_hand_in_one_channel, id="patched in one channel"
        ),
        pytest.param(Masked(X, MASKS, FILL), masked_by_hand, id="masked"),
    ],
)


@kinds
def test_they_are_those_made_by_hand(lazy: Lazy, by_hand: Callable[[], Tensor]) -> None:
    torch.testing.assert_close(made(lazy), by_hand(), rtol=0, atol=1e-7)


@kinds
@pytest.mark.parametrize("part", [slice(0, 3), slice(2, 6), slice(5, 99)], ids=str)
def test_a_part_of_them_is_that_part_of_the_tensor(lazy: Lazy, by_hand: Callable[[], Tensor], part: slice) -> None:
    assert torch.equal(made(lazy[part]), made(lazy)[part])
    torch.testing.assert_close(made(lazy[part]), by_hand()[part], rtol=0, atol=1e-7)


@kinds
def test_they_tell_their_shape_before_they_are_made(lazy: Lazy, by_hand: Callable[[], Tensor]) -> None:
    rows = by_hand()
    assert (len(lazy), lazy.shape, lazy.ndim, lazy.dtype) == (len(rows), tuple(rows.shape), rows.ndim, rows.dtype)


@kinds
def test_a_query_takes_them_as_it_takes_a_tensor(lazy: Lazy, by_hand: Callable[[], Tensor]) -> None:
    asked = Forward(lazy)
    assert len(asked) == N
    assert not asked.single
    assert repr(asked) == repr(Forward(by_hand()))


@pytest.mark.parametrize("channels", [None, CHANNELS], ids=["whole", "one channel"])
def test_padding_repeats_the_last_row(channels: Tensor | None) -> None:
    rows = Patched(X, CORNERS, (2, 3), FILL, channels)
    padded = rows.padded(N + 3)
    assert torch.equal(padded[:N].made(), rows.made())
    assert torch.equal(padded[N:].made(), rows[N - 1 :].made().expand(3, -1, -1, -1))


def test_a_window_of_the_whole_image_leaves_nothing_of_it() -> None:
    assert torch.equal(Patched(X, torch.zeros(1, 2, dtype=torch.int64), (H, W), FILL).made()[0], FILL)


def test_behind_a_whole_mask_is_the_image_and_behind_none_the_fill() -> None:
    image, fill = Masked(X, torch.stack([torch.ones(H, W), torch.zeros(H, W)]), FILL).made()
    assert torch.equal(image, X)
    assert torch.equal(fill, FILL)


def test_no_mask_leads_out_of_the_range_of_pixels() -> None:
    ends = torch.tensor([0.0, 1.0, 1 - 2**-24, 2**-24, 0.3])[:, None, None].expand(5, H, W)
    for base in ends:
        for fill in ends:
            rows = Masked(base[None], MASKS, fill[None]).made()
            assert rows.min() >= 0
            assert rows.max() <= 1


def test_a_tensor_is_made_already() -> None:
    assert made(X) is X


def test_they_say_what_they_are() -> None:
    assert repr(Patched(X, CORNERS, (2, 3), FILL)) == "<7 rows: 2×5×6, (2, 3) of it covered>"
    assert repr(Masked(X, MASKS, FILL)) == "<7 rows: 2×5×6 behind masks>"
