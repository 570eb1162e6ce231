"""Defences as gRPC's messages have them: what REST has as names and objects."""

import pytest

from protos.gen.rakinglight.v1 import rakinglight_pb2 as pb
from rakinglight.catalogue import operation
from rakinglight.defenses import BY_NAME
from service import messages
from tests.networks import abacus_network

CHAIN = [
    pb.Defense(jpeg=pb.JpegDefense(quality=50)),
    pb.Defense(crop_rescale=pb.CropRescaleDefense(crops=3, side=0.9)),
    pb.Defense(median_blur=pb.MedianBlurDefense()),
]
SAID = [{"name": "jpeg", "quality": 50}, {"name": "crop_rescale", "crops": 3, "side": 0.9}, {"name": "median_blur"}]


def test_a_chain_is_the_list_that_rest_has() -> None:
    _, found = messages.parameters(pb.ClassifyParameters(defense=CHAIN))
    assert found == {"defense": SAID}
    operation("classify").check(None, found, abacus_network().card, images=1)


def test_a_reply_repeats_it_with_its_defaults() -> None:
    filled, _ = operation("classify").check(None, {"defense": SAID}, abacus_network().card, images=1)
    message = pb.ClassifyParameters()
    messages.fill_parameters(message, None, filled)
    assert [each.WhichOneof("name") for each in message.defense] == ["jpeg", "crop_rescale", "median_blur"]
    assert message.defense[2].median_blur.window == 3
    assert messages.parameters(message)[1]["defense"] == filled["defense"]


@pytest.mark.parametrize("name", BY_NAME)
def test_a_defence_of_which_nothing_is_set_has_its_defaults(name: str) -> None:
    empty = pb.Defense()
    getattr(empty, name).SetInParent()
    _, found = messages.parameters(pb.AttackParameters(defense=[empty], adaptive=False, draws=3))
    assert found == {"defense": [{"name": name}], "adaptive": False, "draws": 3}


def test_a_defence_of_no_kind_is_refused_as_by_rest() -> None:
    _, found = messages.parameters(pb.ClassifyParameters(defense=[pb.Defense()]))
    with pytest.raises(Exception, match="a defence is its name"):
        operation("classify").check(None, found, abacus_network().card, images=1)
