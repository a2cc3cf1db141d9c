"""The picture of a run's losses: right geometry, readable by everyone, robust to odd series."""

import math
import re
import xml.etree.ElementTree as ElementTree
from itertools import pairwise

import pytest

from nextword.common.svg_chart import LABEL_GAP, Point, nice_ticks, smooth, spread, thin
from nextword.training.report.loss_chart import BOTTOM, LEFT, RIGHT, TOP, Series, curves_svg

SVG = "{http://www.w3.org/2000/svg}"
NAN, INFINITY = float("nan"), float("inf")


def draw(*series: Series, title: str = "Loss") -> ElementTree.Element:
    return ElementTree.fromstring(
        curves_svg(series, title=title, x_label="steps", y_label="loss (nats per token)")
    )


def texts(picture: ElementTree.Element) -> list[str]:
    return [item.text or "" for item in picture.iter(f"{SVG}text")]


def of_class(picture: ElementTree.Element, name: str) -> list[ElementTree.Element]:
    return [item for item in picture.iter() if name in item.get("class", "").split()]


def places(item: ElementTree.Element) -> list[Point]:
    """The points of a path drawn with absolute M and L."""
    numbers = [float(number) for number in re.findall(r"-?[\d.]+", item.get("d", ""))]
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def curve(picture: ElementTree.Element, look: int = 0) -> list[Point]:
    """The first path of a line's look is the line; the second, the sample in its label."""
    return places(
        next(item for item in of_class(picture, f"dash{look}") if "line" in item.attrib["class"])
    )


def test_points_stand_where_the_ticks_say() -> None:
    picture = draw(Series("held-out", [(0, 4.0), (50, 1.0), (100, 0.0)]))

    quarter = BOTTOM + (TOP - BOTTOM) / 4  # the axis runs from 0 to 4
    assert curve(picture) == [
        (LEFT, TOP),
        ((LEFT + RIGHT) / 2, round(quarter, 1)),
        (RIGHT, BOTTOM),
    ]
    ticks = {item.text: item for item in of_class(picture, "tick")}
    assert float(ticks["40"].attrib["x"]) == round(LEFT + 0.4 * (RIGHT - LEFT), 1)
    assert float(ticks["4.0"].attrib["y"]) == TOP + 4  # half a letter below the line
    assert float(ticks["0.0"].attrib["y"]) == BOTTOM + 4


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.0, 8.0, [0, 1, 2, 3, 4, 5, 6, 7, 8]),
        (0.3, 4.2, [0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4]),
        (13.0, 5000.0, [1000, 2000, 3000, 4000, 5000]),
        (-0.07, 0.07, [-0.06, -0.04, -0.02, 0, 0.02, 0.04, 0.06]),
        (1e-9, 1.8e-8, [5e-9, 1e-8, 1.5e-8]),
    ],
)
def test_ticks_are_1_2_or_5(low: float, high: float, expected: list[float]) -> None:
    assert nice_ticks(low, high) == tuple(expected)


def test_ticks_are_never_few_nor_many() -> None:
    for step in range(1, 400):
        high = 1.037**step
        assert 2 <= len(nice_ticks(high / 3, high)) <= 9


def test_the_axis_holds_every_value() -> None:
    points = [(x, 1.31 + 2.9 * math.exp(-x / 7)) for x in range(53)]

    drawn = curve(draw(Series("held-out", points)))

    assert len(drawn) == 53
    assert all(LEFT <= x <= RIGHT and TOP <= y <= BOTTOM for x, y in drawn)
    assert all(earlier[1] <= later[1] for earlier, later in pairwise(drawn))  # y grows downwards


def test_names_and_final_values_stand_at_the_ends_of_the_lines() -> None:
    picture = draw(
        Series("training", [(1, 3.0), (90, 1.4)]), Series("held-out", [(10, 3.1), (90, 2.5)])
    )

    for look, (name, value) in enumerate((("training", "1.400"), ("held-out", "2.500"))):
        label = of_class(picture, f"text{look}")[0]
        end = curve(picture, look)[-1][1]
        assert label.text == name
        assert float(label.attrib["x"]) > RIGHT
        assert float(label.attrib["y"]) == pytest.approx(end + 4, abs=0.1)
        assert value in texts(picture)


def test_dashes_tell_lines_apart_without_colour() -> None:
    style = draw(Series("a", [(0, 1)])).findtext(f"{SVG}style") or ""

    dashes = re.findall(r"\.dash\d\{stroke-dasharray:([\d ]+)\}", style)

    assert len(dashes) == len(set(dashes)) == 5  # and the first line is unbroken


def test_each_colour_can_be_read_in_light_and_dark() -> None:
    style = draw(Series("a", [(0, 1)])).findtext(f"{SVG}style") or ""
    light, dark = style.split("@media (prefers-color-scheme:dark)")

    for sheet in (light, dark):
        ground = re.findall(r"\.ground\{fill:(#\w{6})\}", sheet)[0]
        inks = re.findall(r"\.(?:text\d|quiet|tick|curves text)\{fill:(#\w{6})\}", sheet)
        assert len(inks) >= 7
        for ink in inks:
            assert contrast(ink, ground) >= 4.5, (ink, ground)


def contrast(one: str, other: str) -> float:
    """The contrast ratio of WCAG 2.2."""

    def luminance(colour: str) -> float:
        channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        red, green, blue = (
            part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
            for part in channels
        )
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    brighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (brighter + 0.05) / (darker + 0.05)


def test_a_screen_reader_is_told_the_same() -> None:
    picture = draw(Series("held-out", [(0, 4.25), (1200, 1.5)]), title="Cats & dogs")

    assert picture.attrib["role"] == "img"
    assert picture.findtext(f"{SVG}title") == "Cats & dogs"
    assert picture.findtext(f"{SVG}desc") == (
        "held-out: 2 points, from 4.25 at 0 to 1.5 at 1,200 steps."
    )


def test_text_is_escaped_and_kept_within_the_picture() -> None:
    name = '<script>"&\x00\ud800 and much more'

    picture = draw(Series(name, [(0, 1), (1, 2)]), title="t" * 300)

    assert of_class(picture, "text0")[0].text == '<script>"&�� an…'
    assert len(of_class(picture, "title")[0].text or "") == 76
    assert not list(picture.iter(f"{SVG}script"))


def test_nothing_comes_from_elsewhere() -> None:
    svg = curves_svg([], title="a", x_label="b", y_label="c")

    assert re.findall(r"https?://[^\"]+", svg) == ["http://www.w3.org/2000/svg"]
    assert "href" not in svg and "@import" not in svg and "url(" not in svg


@pytest.mark.parametrize("points", [[], [(NAN, 1.0), (1.0, INFINITY), (2.0, -1e200)]])
def test_a_series_without_points_says_so(points: list[Point]) -> None:
    picture = draw(Series("training", points, noisy=True))

    assert "no points yet" in texts(picture)
    assert picture.findtext(f"{SVG}desc") == "no points yet"
    assert not of_class(picture, "line")


def test_points_that_are_not_finite_are_left_out() -> None:
    picture = draw(Series("training", [(0, 2.0), (1, NAN), (2, INFINITY), (3, 1.0)]))

    assert len(curve(picture)) == 2
    assert "2 points" in (picture.findtext(f"{SVG}desc") or "")


@pytest.mark.parametrize("noisy", [False, True])
@pytest.mark.parametrize("x", [0, 1, 7, 100_000])
def test_one_point_is_a_mark_in_the_middle(x: int, noisy: bool) -> None:
    picture = draw(Series("training", [(x, 4.2)], noisy=noisy))

    (mark,) = of_class(picture, "fill0")
    assert float(mark.attrib["cx"]) == pytest.approx((LEFT + RIGHT) / 2)
    assert TOP < float(mark.attrib["cy"]) < BOTTOM
    assert "4.200" in texts(picture)


@pytest.mark.parametrize("value", [0.0, 2.0, -3.5, 1e15, 1e-300, 9e99, -1e-12])
def test_a_constant_series_is_a_level_line(value: float) -> None:
    drawn = curve(draw(Series("held-out", [(0, value), (10, value)])))

    assert drawn[0][1] == drawn[1][1]
    assert TOP < drawn[0][1] < BOTTOM


@pytest.mark.parametrize("span", [1e-80, 1e-9, 1e-3, 1.0, 1e4, 1e9, 1e80])
def test_any_scale_has_ticks(span: float) -> None:
    picture = draw(Series("a", [(0, 0.0), (1e8, span)]))

    labels = [item.text for item in of_class(picture, "tick")]
    y_labels = [item.text for item in of_class(picture, "end")]
    assert len(y_labels) == len(set(y_labels)) >= 3
    assert all(len(label or "") <= 9 for label in labels)
    assert curve(picture)[0] == (LEFT, BOTTOM)


def test_steps_are_whole_numbers() -> None:
    picture = draw(Series("training", [(1, 3.0), (2, 2.0), (3, 1.0)]))

    labels = [item.text for item in of_class(picture, "middle") if "tick" in item.attrib["class"]]
    assert labels == ["1", "2", "3"]


def test_thinning_keeps_the_ends_and_the_order() -> None:
    points = [(float(x), 0.0) for x in range(12_347)]

    kept = thin(points, 101)

    assert len(kept) == 101 and kept[0] == points[0] and kept[-1] == points[-1]
    assert all(earlier < later for earlier, later in pairwise(kept))
    assert thin(points[:7], 101) == points[:7]


def test_a_long_noisy_series_is_drawn_small() -> None:
    points = [(x, 2 + math.exp(-x / 9000) + (x * 7919 % 101) / 500) for x in range(100_003)]

    svg = curves_svg([Series("training", points, noisy=True)], title="a", x_label="b", y_label="c")

    picture = ElementTree.fromstring(svg)
    assert len(svg) < 60_000
    assert len(curve(picture)) == 1000
    assert 900 < of_class(picture, "dots")[0].attrib["d"].count("h0") <= 1000
    assert "100003 points" in (picture.findtext(f"{SVG}desc") or "")


def test_smoothing_takes_noise_away_and_leaves_a_slope_where_it_is() -> None:
    noise = [0.3, -0.2, 0.1, -0.3, 0.0, 0.2, -0.1]
    slope = [(float(x), 5.0 - x / 100) for x in range(400)]
    noisy = [(x, y + noise[int(x) % 7]) for x, y in slope]

    assert [y for _, y in smooth(slope)][:390] == pytest.approx([y for _, y in slope][:390])
    inner = list(zip(smooth(noisy), slope, strict=True))[20:380]
    assert max(abs(quiet[1] - true[1]) for quiet, true in inner) < 0.1
    assert abs(smooth(noisy)[-1][1] - slope[-1][1]) < 0.15


def test_smoothing_by_hand() -> None:
    points = [(float(x), float(y)) for x, y in enumerate([9, 1, 5, 2] * 25)]  # reach 2 of 100

    quiet = [y for _, y in smooth(points)]

    assert quiet[0] == 9  # alone
    assert quiet[1] == 5  # of 9 1 5
    assert quiet[2] == 5  # of 9 1 5 2 9
    assert quiet[3] == 2  # of 1 5 2 9 1
    assert quiet[99] == 2  # of 1 5 2
    assert [x for x, _ in smooth(points, 10)] == [9, 19, 29, 39, 49, 59, 69, 79, 89, 99]


def test_one_spike_does_not_flatten_the_picture() -> None:
    points = [(x, 1e9 if x == 300 else 3.0 + x % 7 / 10) for x in range(900)]

    picture = draw(Series("training", points, noisy=True))

    assert "3.4" in texts(picture) and "1e+09" not in texts(picture)
    assert all(TOP <= y <= BOTTOM for _, y in curve(picture))


def test_labels_do_not_overlap() -> None:
    picture = draw(*(Series(f"s{n}", [(0, 2.0), (9, 1 + n / 1000)]) for n in range(8)))

    heights = sorted(
        float(item.attrib["y"]) for n in range(6) for item in of_class(picture, f"text{n}")
    )

    assert len(heights) == 8
    assert all(later - earlier >= LABEL_GAP - 0.2 for earlier, later in pairwise(heights))
    assert heights[0] >= TOP and heights[-1] <= BOTTOM + 4


def test_spreading_keeps_the_order_and_what_fits() -> None:
    assert spread([200.0, 100.0], 48, 346) == [200.0, 100.0]
    assert spread([340.0, 339.0, 346.0], 48, 346) == [312.0, 278.0, 346.0]
    crowded = spread([100.0] * 31, 48, 346)
    assert crowded == sorted(crowded)
    assert (crowded[0], crowded[-1]) == pytest.approx((48, 346))


def test_the_same_input_gives_the_same_picture() -> None:
    series = [Series("training", [(x, 1 / (x + 1)) for x in range(97)], noisy=True)]

    first, second = (curves_svg(series, title="a", x_label="b", y_label="c") for _ in range(2))

    assert first == second
