"""The images that a substitute learns from: seeds, and steps of so many grey levels from them."""

import pytest
import torch

from rakinglight.substitutes.album import Album, moved
from rakinglight.substitutes.lesson import levels


def test_a_step_is_of_whole_grey_levels_and_cut_to_what_eight_bits_hold() -> None:
    x = torch.tensor([[[[0, 100], [200, 255]]]], dtype=torch.uint8)
    signs = torch.tensor([[[[-1, 1], [0, 1]]]], dtype=torch.int8)
    assert moved(x, signs, 25, 1).tolist() == [[[[0, 125], [200, 255]]]]
    assert moved(x, signs, -25, 1).tolist() == [[[[25, 75], [200, 230]]]]


def test_a_cell_has_one_sign_and_the_last_ones_are_cut_off_at_the_edge() -> None:
    x = torch.full((1, 1, 3, 3), 100, dtype=torch.uint8)
    signs = torch.tensor([[[[1, -1], [0, 1]]]], dtype=torch.int8)
    assert moved(x, signs, 2, 2).tolist() == [[[[102, 102, 98], [102, 102, 98], [100, 100, 102]]]]


def test_an_image_is_the_steps_that_led_to_it_and_goes_on_from_a_state() -> None:
    noise = torch.Generator().manual_seed(0)
    seeds = torch.randint(0, 256, (3, 2, 5, 7), generator=noise, dtype=torch.uint8)
    album, wanted = Album(seeds, 2), list(seeds)
    for parents, step in (([0, 2], 25), ([3, 1, 4], -10)):
        signs = torch.randint(-1, 2, (len(parents), 2, 3, 4), generator=noise, dtype=torch.int8)
        album.add(torch.tensor(parents), signs, step)
        wanted += [moved(wanted[p][None], s[None], step, 2)[0] for p, s in zip(parents, signs, strict=True)]
    again = Album(seeds, 2, album.state)
    for each in (album, again):
        assert torch.equal(each.pictures(0, len(each)), torch.stack(wanted))
    assert sum(tensor.nbytes for tensor in album.state.values()) < 5 * 30


@pytest.mark.parametrize(("step", "whole"), [(0.1, 25), (-0.1, -25), (8 / 255, 8), (0.001, 0), (1.0, 255)])
def test_no_more_levels_than_a_step_has(step: float, whole: int) -> None:
    assert levels(step) == whole
