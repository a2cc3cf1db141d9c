"""Page, Markdown and picture: well-formed, self-contained, with the numbers that were measured."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence

import pytest

from nextword.ladder import findings_text
from nextword.ladder.html_page import ladder_page
from nextword.ladder.ladder_chart import ladder_svg
from nextword.ladder.markdown_page import ladder_markdown
from nextword.ladder.result import Ladder
from nextword.ladder.rungs import RUNGS

Made = Callable[[dict[str, Sequence[float | None]]], Ladder]
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def ladder(made: Made) -> Ladder:
    """Four rungs: the second better, the third worse, the fourth open."""
    return made(
        {
            "article": [2.513, 2.503, 2.523],
            "scaled": [2.317, 2.307, 2.327],
            "heads": [2.419, 2.409, 2.429],
            "projection": [2.411, 2.401, 2.421],
        }
    )


def test_the_page_is_well_formed_and_asks_nobody_for_anything(ladder: Ladder) -> None:
    page = ladder_page(ladder)
    assert page.startswith("<!DOCTYPE html>\n")
    root = ET.fromstring(page.removeprefix("<!DOCTYPE html>\n"))
    names = [element.tag.rpartition("}")[2] for element in root.iter()]
    assert not {"script", "link", "img", "iframe", "object"} & set(names)
    for element in root.iter():
        assert not {"src", "style", "onload"} & set(element.attrib)
        assert element.get("href", "#").startswith("#")
    assert set(re.findall(r"https?://[^\"]*", page)) == {"http://www.w3.org/2000/svg"}
    assert "url(" not in page and "@import" not in page


def test_the_pages_links_lead_to_its_rungs(ladder: Ladder) -> None:
    page = ladder_page(ladder)
    links = re.findall(r'href="#([^"]+)"', page)
    assert links == ["article", "scaled", "heads", "projection"]
    assert all(f'<li id="{key}"' in page for key in links)


def test_the_numbers_are_those_of_the_json(ladder: Ladder) -> None:
    texts = (ladder_page(ladder), ladder_markdown(ladder, picture="x.svg"), ladder_svg(ladder))
    for rung in ladder.as_json()["rungs"]:
        for text in texts:
            assert f"{rung['loss']:.3f}" in text
        for text in texts[:2]:
            assert f"{rung['lowest']:.3f} – {rung['highest']:.3f}" in text


def test_each_text_follows_from_the_numbers(ladder: Ladder) -> None:
    article, scaled, heads, projection = findings_text.rungs(ladder)
    assert article.result[0] == "On this data: 2.513 nats per token (2.503 to 2.523 over 3 seeds)."
    assert "0.196 lower" in scaled.result[0] and "It is better" in scaled.result[0]
    assert "0.102 higher" in heads.result[0] and "worse" in heads.result[0]
    assert "better" not in heads.result[0]
    assert "does not tell whether it helps" in projection.result[0]
    assert scaled.settings == ("scaled_scores: false → true",)
    outcome = findings_text.lead(ladder)[1]
    assert "went from 2.513 to 2.411, −0.102" in outcome
    assert "lowest loss of all was reached with scaled scores: 2.317" in outcome
    assert "largest gain came with scaled scores: −0.196" in outcome
    assert "Worse than the one before, in the same time: several heads." in outcome
    assert "Too close to tell: output projection." in outcome


def test_the_story_is_told_in_the_articles_manner(ladder: Ladder) -> None:
    for told, rung in zip(findings_text.rungs(ladder)[1:], RUNGS[1:4], strict=True):
        assert told.story[0] == f"But wait, {rung.not_nice}"
        assert told.story[1] == f"So, {rung.mend}"


def test_a_rung_that_was_left_out_is_named(made: Made) -> None:
    told = findings_text.rungs(made({"article": [2.0, 2.0], "projection": [1.0, 1.0]}))[1]
    assert "scaled scores and several heads" in told.story[0]


def test_what_broke_off_is_said(made: Made) -> None:
    ladder = made({"article": [2.0, 2.0], "scaled": [None, None], "heads": [1.0, None]})
    scaled, heads = findings_text.rungs(ladder)[1:]
    assert scaled.result[0].startswith("Training broke off with 2 of 2 seeds")
    assert "the loss is nan" in scaled.result[0]
    assert "1 of 2 seeds" in heads.result[0]
    assert "It is better" in heads.result[1]
    assert findings_text.rows(ladder)[1][1:4] == ("broke off", "–", "")
    assert "training broke off" in ladder_svg(ladder)
    assert ET.fromstring(ladder_page(ladder).partition("\n")[2]) is not None


def test_what_a_rung_is_in_place_of_does_not_come_with_it(made: Made) -> None:
    told = findings_text.rungs(made({"muon": [2.0], "int16": [1.9]}))[1]
    assert not any("bfloat16" in part for part in told.story)
    told = findings_text.rungs(made({"decay": [2.0], "int16": [1.9]}))[1]
    assert told.story[0].endswith("was not climbed by itself: Muon.)")


def test_one_seed_claims_nothing(made: Made) -> None:
    ladder = made({"article": [2.0], "scaled": [1.0]})
    assert findings_text.lead(ladder)[1].endswith("Left open by one seed: scaled scores.")
    told = findings_text.rungs(ladder)[1]
    assert told.result[0].endswith("One seed cannot tell whether that is more than chance.")


def test_the_command_names_the_rungs_unless_they_are_all(made: Made, ladder: Ladder) -> None:
    assert findings_text.command(ladder) == (
        "nextword ladder DATA --out FOLDER --seconds 2 --seeds 3 --width 6 --layers 5 --heads 3 "
        "--context 11 --batch 13 --tokenizer characters "
        "--rungs article,scaled,heads,projection,bfloat16"
    )
    climbed = [rung.key for rung in RUNGS if rung.key != "bfloat16"]  # asked for and left out
    every = made({key: [2.0] for key in climbed})
    assert findings_text.command(every).endswith("--tokenizer characters")


def test_the_picture_has_a_dot_for_each_seed(ladder: Ladder) -> None:
    svg = ET.fromstring(ladder_svg(ladder))
    dots = svg.findall(f"{SVG}circle")
    assert len(dots) == 12
    assert sum("hollow" in dot.attrib["class"] for dot in dots) == 3  # of the open one
    described = svg.findtext(f"{SVG}desc") or ""
    assert "several heads: 2.419, +0.102, worse." in described


def test_a_loss_far_away_stands_at_the_edge(made: Made) -> None:
    ladder = made({"article": [2.0, 2.2], "scaled": [9.0, 9.2], "heads": [1.8, 1.9]})
    svg = ET.fromstring(ladder_svg(ladder))
    assert len(svg.findall(f"{SVG}circle")) == 4
    places = [float(dot.attrib["cx"]) for dot in svg.findall(f"{SVG}circle")]
    assert max(places) - min(places) > 200  # the others still use the width
    assert "9.100" in ladder_svg(ladder)


def test_markdown_holds_no_one_elses_marks(ladder: Ladder) -> None:
    page = ladder_markdown(ladder, picture="ladder.svg")
    assert "![Held-out loss of each rung](ladder.svg)" in page
    assert "a\\_\\[file\\].txt" in page
    assert "the <cat> & `the` *dog*" in page  # inside a fence it stands as it is
    assert page.count("```diff\n") == 4
    table = [line for line in page.splitlines() if line.startswith("|")]
    assert {line.replace("\\|", "").count("|") for line in table} == {8}


def test_the_same_ladder_gives_the_same_text(ladder: Ladder) -> None:
    assert ladder_page(ladder) == ladder_page(ladder)
    assert ladder_svg(ladder) == ladder_svg(ladder)
