"""The report of a theft: what it says first, what it may not claim, and that it needs nothing but itself."""

import re
from html.parser import HTMLParser
from typing import Any

import pytest

from rakinglight.reports.theft import Priced, Searched, Theft, Watch, page
from tests.rakinglight.reports.example import ATTACK, CONTROL, curve, findings, reply, share

VOID = {"meta", "img", "br", "link", "input", "hr"}


class Reader(HTMLParser):
    """Reads a page: its words, and every attribute; tags that are not closed as they were opened fail."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data


def read(**what: Any) -> Reader:
    return Reader(page(findings(**what)))


def words(**what: Any) -> str:
    """What a reader of the page reads, on one line."""
    return " ".join(read(**what).text.split())


def test_the_verdict_comes_first() -> None:
    said = words()
    verdict = "1,600 queries bought a substitute that says what lenet5-digits says on 91.2 % of 400 images"
    assert verdict in said
    assert said.index(verdict) < said.index("What was exposed")
    assert "FGSM at 0.1 on 50.9 % of the 389 images that it had right" in said
    assert "1.8 times the 28 % of the control of random signs" in said
    assert "Our detector would have alarmed at query 420 of 1,600; PRADA would not have noticed." in said


def test_all_that_was_measured_is_on_the_page() -> None:
    said = words()
    for part in (
        "5,200",
        "1,500",
        "It ended after the last round",
        "83 %",
        "never, in 1,600",
        "hop_skip_jump",
        "square",
    ):
        assert part in said, part
    assert [tag for tag, _ in read().tags].count("img") == 3 * 6


def test_every_section_of_figures_names_the_command_that_repeats_it() -> None:
    sections = page(findings()).split("<section>")[1:]
    figures = [section for section in sections if "<table" in section or 'class="samples"' in section]
    assert len(figures) == 5
    assert all("rakinglight steal lenet5-digits digits.npz --local" in section for section in figures)


def test_no_more_than_chance_is_not_called_more() -> None:
    close = curve((0.74, 0.81, 0.86, 0.9, 0.9125), (0.18, 0.2, 0.24, 0.26, 0.3))
    said = words(reply=reply(curve=close))
    assert "The control of random signs fools it on 28 %: so few images do not tell the two apart." in said
    assert "times the" not in said.partition("What was exposed")[0]


def test_nothing_right_is_nothing_fooled() -> None:
    none = {"value": None, "low": 0.0, "high": 1.0, "count": 0, "of": 0}
    last = {**ATTACK[-1], "transfer": [{**cell, "fooled": none} for cell in ATTACK[-1]["transfer"]]}
    said = words(reply=reply(curve=[last], random_sign=None))
    assert "nothing could be said to fool it" in said
    assert "none tried" in said


def test_the_last_round_that_was_tried_counts_and_none_is_said_to_be_none() -> None:
    rows = [{**row, "transfer": row["transfer"] if i == 3 else []} for i, row in enumerate(ATTACK)]
    assert "FGSM at 0.1 on 44 %" in words(reply=reply(curve=rows))
    none = words(reply=reply(curve=[{**row, "transfer": []} for row in ATTACK], random_sign=None, white_box=None))
    assert "was not tried on the model" in none
    assert "91.2 %" in none


def test_what_cannot_be_known_is_said_to_be_unknown() -> None:
    note = "the model answers no gradients."
    unknown = [Priced("full: every probability", "soft labels", unknown="unknown: it tells labels")]
    said = words(reply=reply(white_box=None, white_box_note=note), priced=unknown, watched=(), searched=())
    assert f"What an attacker with the model's weights would reach is not known here: {note}" in said
    assert "unknown: it tells labels" in said
    assert "no detector has seen them" in said
    assert "would have alarmed" not in said
    assert "is unknown." in said.partition("What this does not say")[2]


def test_a_detector_is_told_how_good_the_substitute_was_by_then() -> None:
    early = Watch("Early", "", 1600, 50)
    late = Watch("Late", "", 1600, 900)
    worth = [one["worth"] for one in Theft(findings(watched=[early, late])).watched]
    assert worth == ["nothing yet: no round was over", "90 %"]


def test_views_are_compared_by_the_queries_until_as_much_agreed() -> None:
    theft = Theft(findings(priced=[Priced("a", "", ATTACK), Priced("b", "", CONTROL)]))
    assert theft.goal == 0.86
    assert [one["until"] for one in theft.priced] == ["400", "not reached"]


def test_a_defence_has_a_row_and_a_line_beside_all_views_and_a_defended_model() -> None:
    name = "label, behind jpeg (quality 50)"
    rows = findings().priced
    whole = Theft(findings(priced=[*rows, Priced(name, "hard labels", ATTACK)]))
    assert [one["name"] for one in whole.priced][-1] == name
    assert whole.priced_chart is not None
    assert [line.name for line in whole.priced_chart.lines] == [*(one.name for one in rows), name]
    assert f"<td>{name}</td>" in page(findings(priced=[*rows, Priced(name, "hard labels", ATTACK)]))


def test_of_a_search_the_median_is_that_of_the_images_it_fooled() -> None:
    theft = Theft(
        findings(
            searched=[
                Searched("label", "hop_skip_jump", 1000, [30, None, 10, 20]),
            ]
        )
    )
    (one,) = theft.searched
    assert (one["median"], one["fooled"]["value"]) == ("20", 0.75)
    (chart,) = theft.query_charts
    assert [(p.x, p.value) for p in chart.lines[0].points][-2:] == [(30, 0.75), (1000, 0.75)]


@pytest.mark.parametrize("by", ["queries", "budget", "deadline", "rows"])
def test_why_it_ended_is_said(by: str) -> None:
    assert "It ended at" in words(reply=reply(stopped_by=by)) or "It ended where" in words(reply=reply(stopped_by=by))


def test_a_label_may_hold_anything() -> None:
    hostile = "<script>alert(1)</script>\"'&"
    found = findings(exposed=[("It names", hostile)], command=f"rakinglight steal {hostile}", host=hostile)
    html = page(found)
    assert "<script" not in html
    assert Reader(html).text.count(hostile) >= 3


def test_it_loads_nothing_and_runs_nothing() -> None:
    reader = read()
    html = page(findings())
    tags = {tag for tag, _ in reader.tags}
    assert not tags & {"script", "link", "iframe", "object", "embed"}
    for tag, attributes in reader.tags:
        assert not any(name.startswith("on") for name in attributes), tag
        for name in ("src", "href"):
            value = attributes.get(name)
            assert value is None or value.startswith("data:image/png;base64,"), tag
    assert "url(" not in html
    assert re.search(r"@import", html) is None
    policy = next(attributes for tag, attributes in reader.tags if "http-equiv" in attributes)
    assert policy["content"] == "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def test_it_is_made_for_light_and_dark_for_phones_and_for_paper() -> None:
    html = page(findings())
    assert 'name="viewport"' in html
    assert "color-scheme: light dark" in html
    for medium in ("(prefers-color-scheme: dark)", "print", "(max-width: 32rem)"):
        assert f"@media {medium}" in html
    dark = html.partition("(prefers-color-scheme: dark)")[2].partition("}")[0]
    light = html.partition(":root {")[2].partition("}")[0]
    names = re.findall(r"(--[\w-]+):", light)
    assert re.findall(r"(--[\w-]+):", dark) == names
    assert set(re.findall(r"var\((--[\w-]+)\)", html)) <= set(names)


def test_every_picture_has_words() -> None:
    for tag, attributes in read().tags:
        if tag == "img":
            assert attributes["alt"]
        if tag == "svg":
            assert attributes.get("aria-label") or attributes.get("aria-hidden")


def test_a_page_without_most_of_it_is_still_a_page() -> None:
    bare = words(
        reply=reply(random_sign=None, white_box=None, curve=ATTACK[:1]),
        samples=(), watched=(), priced=(), searched=(), commands=(),
    )  # fmt: skip
    assert "100 queries bought a substitute" in bare
    assert "--compare-views" in bare


def test_shares_keep_their_intervals() -> None:
    found = share(0.9125)
    assert f"{100 * found['low']:.1f} to {100 * found['high']:.1f}" in words()
