from xml.etree import ElementTree

from benchmark.chart import LEFT, WIDTH, chart, goodness, place
from benchmark.figure import Figure
from benchmark.report import Line

RATE = Line(
    Figure("a", "requests < all", "req/s", True, {"haproxy": 1.0}), {"frontdoor": 10, "haproxy": 5, "nginx": 20}
)
COST = Line(Figure("b", "CPU", "µs", False), {"frontdoor": 10, "haproxy": 5})
OWN = Line(Figure("c", "longest stall", "ms", False), {"frontdoor": 10})


def test_better_is_more_of_what_is_good_and_less_of_what_costs() -> None:
    assert goodness(RATE, "haproxy") == 2
    assert goodness(RATE, "nginx") == 0.5
    assert goodness(COST, "haproxy") == 0.5
    assert goodness(OWN, "haproxy") is None
    assert goodness(Line(COST.figure, {"frontdoor": 0, "haproxy": 5}), "haproxy") is None


def test_what_is_beyond_the_axis_stands_at_its_end() -> None:
    assert place(1) == LEFT + WIDTH / 2
    assert place(1000) == place(8) == LEFT + WIDTH
    assert place(0.0001) == LEFT


def test_it_is_a_picture_with_a_mark_for_each_ratio() -> None:
    drawn = ElementTree.fromstring(chart([RATE, COST, OWN], ["frontdoor", "haproxy", "nginx", "direct"]))
    titles = [title.text for title in drawn.iter("{http://www.w3.org/2000/svg}title")]
    assert titles == [
        "requests < all, frontdoor / haproxy: 2.00; wanted: ≥ 1",
        "requests < all, frontdoor / nginx: 0.500",
        "CPU, frontdoor / haproxy: 2.00",
    ]
