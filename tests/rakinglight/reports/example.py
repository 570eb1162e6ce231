"""A theft as it might have gone: figures made by hand, for the page."""

from typing import Any

import numpy as np

from rakinglight import pictures
from rakinglight.audit.statistics import wilson
from rakinglight.reports.theft import Findings, Priced, Sample, Searched, Watch

QUERIES = (100, 200, 400, 800, 1600)


def share(value: float, of: int = 400) -> dict[str, Any]:
    k = round(value * of)
    low, high = wilson(k, of)
    return {"value": k / of, "low": low, "high": high, "count": k, "of": of}


def row(n: int, queries: int, agreement: float, fooled: float) -> dict[str, Any]:
    """A row of the curve: at twice the epsilon half of the others are fooled too, and PGD fools a little more."""
    more = 1 - (1 - fooled) / 2
    fooling = {("fgsm", 0.1): fooled, ("pgd", 0.1): 1.1 * fooled, ("fgsm", 0.2): more, ("pgd", 0.2): more}
    transfer = [
        {
            "attack": attack,
            "epsilon": epsilon,
            "targeted": targeted,
            "fooled": share(value / (8 if targeted else 1), 389),
        }
        for (attack, epsilon), value in fooling.items()
        for targeted in (False, True)
    ]
    return {"round": n, "queries": queries, "agreement": share(agreement), "transfer": transfer}


def curve(agreements: tuple[float, ...], fooled: tuple[float, ...]) -> list[dict[str, Any]]:
    return [row(n, *cells) for n, cells in enumerate(zip(QUERIES, agreements, fooled, strict=True))]


ATTACK = curve((0.74, 0.81, 0.86, 0.9, 0.9125), (0.18, 0.27, 0.36, 0.44, 0.51))
ROUNDED = curve((0.76, 0.85, 0.9, 0.93, 0.94), (0.2, 0.3, 0.42, 0.5, 0.58))
FULL = curve((0.77, 0.86, 0.91, 0.94, 0.95), (0.2, 0.32, 0.44, 0.53, 0.6))
ROBUST = curve((0.7, 0.78, 0.83, 0.87, 0.89), (0.04, 0.06, 0.07, 0.08, 0.09))
CONTROL = curve((0.74, 0.79, 0.815, 0.84, 0.85), (0.18, 0.2, 0.23, 0.25, 0.28))


def reply(**summary: Any) -> dict[str, Any]:
    """A reply of `substitute`; what is named of its summary is replaced, and what is None left out."""
    whole = {
        "answers": "hard",
        "tells": "labels",
        "architecture": "convolutional",
        "seeds": 100,
        "curve": ATTACK,
        "random_sign": CONTROL,
        "white_box": row(0, 0, 0, 0.83)["transfer"],
        "queries": {"training": 1600, "evaluation": 5_200, "control": 1500},
        "stopped_by": "rounds",
        **summary,
    }
    summary = {name: value for name, value in whole.items() if value is not None}
    return {"model": {"name": "lenet5-digits"}, "operation": "substitute", "method": "papernot", "summary": summary}


def picture(seed: int, amount: float = 0.0) -> tuple[bytes, Any]:
    """A blurred blob, and the same with noise: PNG, and its pixels."""
    noise = np.random.default_rng(seed)
    y, x = np.mgrid[:32, :32] / 32
    u, v = noise.uniform(0.3, 0.7, 2)
    blob = np.exp(-30 * ((x - u) ** 2 + 2 * (y - v) ** 2))
    moved = np.clip(blob + amount * np.sign(noise.normal(size=blob.shape)), 0, 1)
    pixels = (255 * moved).astype(np.uint8)[..., None]
    return pictures.to_png(pictures.from_pixels(pixels)), pixels


def sample(seed: int, *said: str) -> Sample:
    (clean, before), (adversarial, after) = picture(seed), picture(seed, 0.1)
    change, factor = pictures.amplified(before, after)
    oracle, substitute = (said[0], said[1]), (said[2], said[3])
    return Sample(clean, adversarial, pictures.to_png(change), factor, oracle, substitute)


def findings(**what: Any) -> Findings:
    scores = [(n, min(2, 1e-5 * n**2 * (0.56 + 0.02 * (n % 3)))) for n in range(10, 1601, 10)]
    whole: dict[str, Any] = {
        "reply": reply(),
        "made_at": "2026-11-22 15:40",
        "command": "rakinglight steal lenet5-digits digits.npz --local --answers hard --rounds 4 --seeds 100",
        "host": "this process",
        "exposed": [
            ("Answers with", "labels: the first class alone"),
            ("Names and sizes", "10 classes by name; input 1 × 32 × 32"),
        ],
        "samples": [sample(seed, *said) for seed, said in enumerate(("3838", "7771", "0606", "5959", "1111", "2323"))],
        "watched": [
            Watch("Our detector", "how many queries lie near an earlier one of their key", 1600, 420, scores, 1.0),
            Watch("PRADA", "whether the distances between queries look normal (Juuti et al. 2019)", 1600, None),
        ],
        "priced": [
            Priced("label: the first class alone", "hard labels", ATTACK),
            Priced("rounded: every probability, to two decimals", "soft labels", ROUNDED),
            Priced("full: every probability", "soft labels", FULL),
            Priced("label, of lenet5-digits-robust", "hard labels", ROBUST),
        ],
        "searched": [
            Searched("label", "hop_skip_jump", 1000, [210, 340, 700, None, 820, None, 450, None, None, 610]),
            Searched("full", "square", 500, [1, 40, 3, 80, 200, None, 12, 310, 25, 60]),
            Searched("rounded", "square", unknown="It was not tried."),
        ],
        "commands": ["rakinglight steal lenet5-digits digits.npz --local --compare-views"],
        **what,
    }
    return Findings(**whole)
