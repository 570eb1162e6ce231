"""The plates of the gallery: what is asked for each, and what is to be said of it, having looked at it."""

from __future__ import annotations

from typing import Any

from scripts.gallery import LENET, Call, Plate, images, the_picture, the_view

#: A test digit of each class.
TEN = (
    "digits/040-0",
    "digits/032-1",
    "digits/027-2",
    "digits/038-3",
    "digits/039-4",
    "digits/058-5",
    "digits/037-6",
    "digits/031-7",
    "digits/042-8",
    "digits/026-9",
)
#: All digits of the test.
MANY = tuple(name for name in images() if name.startswith("digits/"))
SOME = ("astronaut", "chelsea", "coffee", "grass", "gravel", "hubble_deep_field", "retina", "rocket")


def inverted(layer: str, image: str = "chelsea", title: str = "", **parameters: Any) -> Call:
    """An inversion of what a layer says of a photograph."""
    return Call(title or layer, "inversion", "invert", (image,), parameters={"layer": layer, **parameters})


def of_digit(layer: str, prior: str) -> Call:
    """The inversion of a digit's code, by the energy or by a decoder."""
    title = layer if prior == "decoder" else f"{layer}, by the energy"
    return Call(title, "inversion", "invert", (TEN[3],), LENET, {"layer": layer, "prior": prior})


DEPTH = ("stem", "blocks.2", "blocks.4", "blocks.10", "head", "classifier")
CLASSES = ("lynx", "peacock", "goldfish", "flamingo", "monarch", "daisy")
LAYERS = ("s2", "s4", "c5", "f6", "output")
#: Begin at one digit, and look for the code of the other, with nothing that would make the picture smooth.
PAIR = {"layer": "f6", "fidelity": 10_000, "tv_weight": 0, "alpha_weight": 0, "step_size": 0.01}

PLATES = (
    Plate(
        "depth",
        "A photograph, given back from deeper and deeper",
        "Each picture is made from nothing until the layer says of it what it says of the photograph. Colours go "
        "first: nearly all of the pixel error of the first three is that. At `blocks.10` whiskers and nose are where "
        "they were; of `head` and `classifier` eyes and fur are left, in no order, and the network sees the same cat.",
        [inverted(layer, steps=200) for layer in DEPTH],
        the_picture,
        first=("chelsea",),
        columns=4,
    ),
    Plate(
        "decoder",
        "A digit in one pass of a decoder, and by the energy",
        "Above what a small network, trained for the layer, gives back in one pass; below what the energy finds in "
        "300 steps. The decoder knows what digits look like, and draws one. The energy knows nothing of digits: what "
        "it finds is nearer by the layer's features, and further by its pixels. The network takes all ten for a "
        "three.",
        [of_digit(layer, prior) for prior in ("decoder", "natural") for layer in LAYERS],
        the_picture,
        columns=5,
    ),
    Plate(
        "digits",
        "Ten digits as LeNet-5 would have them",
        "The picture that has the largest score of a class. Nought, two, five, eight and nine can be read, with some "
        "good will also six and seven; a one is for this network what nothing else is.",
        [Call(str(c), "inversion", "activation_maximization", (), LENET, {"target": c}) for c in range(10)],
        the_picture,
        columns=5,
    ),
    Plate(
        "classes",
        "What Lite0 would have classes look like",
        "The pictures that have the largest scores of six classes, begun at nothing. Who has been told finds red legs "
        "of flamingos, wings of a monarch, the colour and eye of a goldfish, middles of flowers. Of the lynx there is "
        "fur, and the peacock is not worth looking at: of that the score says nothing.",
        [
            Call(name, "inversion", "activation_maximization", (), parameters={"target": name, "steps": 64})
            for name in CLASSES
        ],
        the_picture,
        columns=3,
    ),
    Plate(
        "caricature",
        "A caricature",
        "What a layer sees in the photograph, exaggerated: strokes, then rims and eyes, then eyes where none were.",
        [
            Call(layer, "inversion", "caricature", ("chelsea",), parameters={"layer": layer})
            for layer in ("blocks.4", "blocks.8", "blocks.15")
        ],
        the_picture,
        first=("chelsea",),
    ),
    Plate(
        "edit",
        "Edited towards a class",
        "The cat, changed until it is more of another class, and held near itself, by the weight beside its name: "
        "stripes come on the forehead, a white muzzle comes for the fox, and the eyes stay a cat's.",
        [
            Call(f"{name}, {weight:g}", "inversion", "edit", parameters={"target": name, "near_weight": weight})
            for name, weight in (("zebra", 10), ("zebra", 1), ("tiger", 1), ("red fox", 1))
        ],
        the_picture,
        first=("chelsea",),
        columns=5,
    ),
    Plate(
        "fooling",
        "Pictures of nothing, of which LeNet-5 is sure",
        "By steps up the gradient from noise, and by evolution, of pixels and of patterns, from the scores alone. The"
        " first eight are not worth looking at, which is the point: they are noise to everybody but the network.",
        [
            Call(f"{c}, {encoding}", "inversion", "fooling", (), LENET, {"target": c, "encoding": encoding})
            for encoding in ("gradient", "direct", "cppn")
            for c in (0, 3, 5, 7)
        ],
        the_picture,
        columns=4,
    ),
    Plate(
        "filters",
        "The filters of the first layers",
        "The weights of a layer that is linear in the image. Of 3 x 3 pixels there is not much to see but colours and"
        " a few edges; LeNet-5's five pixels show strokes.",
        [Call("Lite0", "units", "filters", ()), Call("LeNet-5", "units", "filters", (), LENET)],
        the_view,
        across=384,
    ),
    Plate(
        "patches",
        "Where units are excited most",
        "Of eight photographs, and of the 500 digits of the test, the patches that excite a unit most.",
        [
            Call(
                "Lite0, blocks.5",
                "units",
                "top_patches",
                SOME,
                parameters={"layer": "blocks.5", "unit": unit, "count": 8},
            )
            for unit in (3, 11, 20)
        ]
        + [Call("LeNet-5, c3", "units", "top_patches", MANY, LENET, {"layer": "c3", "unit": 2})],
        the_view,
        across=900,
        columns=1,
    ),
    Plate(
        "deconv",
        "What in the image a unit answers to",
        "The largest activation of a layer, passed down to the pixels by a deconvnet and by plain backpropagation.",
        [
            Call("Lite0, blocks.3", "units", "deconv", ("chelsea",), parameters={"layer": "blocks.3"}),
            Call("LeNet-5, c3", "units", "deconv", (TEN[3],), LENET, {"layer": "c3"}),
        ],
        the_view,
        across=448,
    ),
    Plate(
        "embedding",
        "Five hundred digits by their features",
        "t-SNE of what the last layer but one says.",
        [Call("LeNet-5", "units", "embedding", MANY, LENET)],
        the_view,
        across=896,
    ),
    Plate(
        "pair",
        "Two pictures that are one to a layer",
        "Begun at one digit, looking for what LeNet-5's `f6` says of another. Much of the first is left, in places "
        "where nobody would see the second, which the layer sees, and all that comes after it.",
        [
            Call(f"{start[-1]} as {of[-1]}", "inversion", "invert", (of,), LENET, {"start": start, **PAIR})
            for start, of in ((TEN[3], TEN[8]), (TEN[0], TEN[6]), (TEN[1], TEN[7]), (TEN[9], TEN[4]))
        ],
        the_picture,
    ),
    Plate(
        "decoder-photograph",
        "Photographs in one pass of a decoder",
        "The decoders of Lite0 learnt from thirteen photographs, and not from these. `blocks.4` is near the image "
        "to the eye, and the network sees something else in it; at `blocks.10` a few photographs do not teach more "
        "than where is what colour.",
        [
            inverted(layer, image, f"{image}, {layer}", prior="decoder")
            for image in ("chelsea", "coffee")
            for layer in ("blocks.4", "blocks.10")
        ],
        the_picture,
        columns=4,
    ),
    Plate(
        "dream",
        "Deep dreams",
        "Whatever a layer finds, exaggerated, at several sizes: grooves by one, rings by the other.",
        [
            Call(layer, "inversion", "deep_dream", ("coffee",), parameters={"layer": layer})
            for layer in ("blocks.4", "blocks.8")
        ],
        the_picture,
        first=("coffee",),
    ),
    Plate(
        "style",
        "One photograph in the texture of another",
        "What is where is of the cat; the texture is of the others.",
        [
            Call(f"as {style}", "inversion", "style", ("chelsea",), parameters={"style": style})
            for style in ("immunohistochemistry", "brick")
        ],
        the_picture,
        first=("chelsea",),
    ),
    Plate(
        "hog",
        "What HOG leaves of a photograph",
        "Histograms of gradients of the cat, inverted by the energy, and by the paired dictionary of HOGgles. Neither"
        " knows colours.",
        [
            Call(prior, "inversion", "invert", parameters={"representation": "hog", "prior": prior})
            for prior in ("natural", "dictionary")
        ],
        the_picture,
        first=("chelsea",),
    ),
)
