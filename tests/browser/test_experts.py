"""The Experts page in Chromium: the heatmap on its canvas by pointer, keyboard and address, from 8 experts to 4 096."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator

from tests import services
from tests.browser.screen import Screen, screen
from tests.pages.runs import wide

pytestmark = [pytest.mark.browser, pytest.mark.services, pytest.mark.timeout(240)]

MAP = "document.querySelector('.moe-heatmap')"
GENERATIONS = 40
Serve = Callable[[Path], str]


@pytest.fixture(scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """A dashboard over a runs directory; started once for each."""
    running: dict[Path, services.Service] = {}
    entered = []

    def start(runs: Path) -> str:
        if runs not in running:
            context = services.dashboard(tmp_path_factory.mktemp("dashboard"), runs_dir=runs, window="30d")
            running[runs] = context.__enter__()
            entered.append(context)
        return running[runs].url

    yield start
    for context in entered:
        context.__exit__(None, None, None)


@pytest.fixture(scope="module")
def layered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """12 layers of 24 experts; expert 5 of layer 7 dies half way."""
    return wide(tmp_path_factory.mktemp("layered"), experts=24, generations=GENERATIONS, layers=12, dead=("7", "5"))  # fmt: skip


@pytest.fixture
def shown(browser: Browser, serve: Serve, layered: Path) -> Iterator[Screen]:
    with screen(browser, serve(layered)) as opened:
        yield opened


def painted(shown: Screen, layer: str = "") -> None:
    said = f" of layer {layer} " if layer else " experts "
    shown.wait_for(lambda: shown.page.evaluate(f"() => !!{MAP}?.drawn && {MAP}.getAttribute('aria-label')") and said in alt(shown), 60, "the heatmap")  # fmt: skip
    shown.page.locator(".moe-heatmap").scroll_into_view_if_needed()


def button(shown: Screen, name: str) -> Locator:
    """One of the heatmap's own; plotly's figures have some of the same name."""
    return shown.page.locator(".moe-heatmap").get_by_role("button", name=name, exact=True)


def alt(shown: Screen) -> str:
    return str(shown.page.locator(".moe-heatmap").get_attribute("aria-label"))


def point(shown: Screen, row: int, column: int) -> tuple[float, float]:
    """Where the middle of a cell is on screen; rows and columns as they stand in the heatmap."""
    at = shown.page.evaluate(
        f"([row, column]) => {{ const map = {MAP}, {{ view, box }} = map, r = map.canvas.getBoundingClientRect();"
        " return [r.left + box.x + ((column + 0.5 - view.x0) / (view.x1 - view.x0)) * box.w,"
        " r.top + box.y + ((row + 0.5 - view.y0) / (view.y1 - view.y0)) * box.h]; }",
        [row, column],
    )
    return at[0], at[1]


def tip(shown: Screen) -> str:
    return str(shown.page.locator(".moe-heatmap-tip").inner_text())


def view(shown: Screen) -> dict[str, float]:
    found: dict[str, float] = shown.page.evaluate(f"() => {MAP}.view")
    return found


def lines(shown: Screen) -> str:
    return shown.page.locator("[data-testid='stMultiSelect']").inner_text()


def tokens(expert: int, generation: int) -> int:
    """As `tests.pages.runs.wide` counts them."""
    return (7 * expert + 3 * generation) % 50 + 50


def test_the_layer_is_in_the_address_and_the_dead_are_named_by_layer(shown: Screen):
    shown.open("/experts?refresh=off&layer=7")
    painted(shown, "7")
    assert re.search(r"Layer 7\. Dead: 5 \(0\.00 since generation 21\)", shown.text())
    assert "Layer 6. Dead" not in shown.text()
    link = shown.page.get_by_role("link", name="What to do about a dead expert")
    assert "alert=ExpertDead" in str(link.get_attribute("href"))
    shown.page.locator(".st-key-layer input").click()
    shown.page.get_by_role("option", name="11", exact=True).click()
    painted(shown, "11")
    shown.wait_for(lambda: "layer=11" in shown.page.url, 10, "the layer in the address")
    assert shown.errors == []


def test_a_cell_is_told_with_expert_layer_generation_time_load_share_and_exact_tokens(shown: Screen):
    shown.open("/experts?refresh=off&layer=7")
    painted(shown, "7")
    shown.page.mouse.move(*point(shown, 3, 9))
    shown.wait_for(lambda: "tokens" in tip(shown) and "…" not in tip(shown), 20, "the tokens")
    said = tip(shown).splitlines()
    assert said[:2] == ["expert 3 · layer 7", "generation 10"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", said[2])
    assert said[3].startswith("load ÷ fair ")
    assert said[4].startswith("share ")
    assert said[5] == f"{tokens(3, 10)} tokens"
    shown.page.mouse.move(*point(shown, 5, 30))
    assert tip(shown).splitlines()[3:] == ["load ÷ fair 0.00", "share 0.00 %", "0 tokens"]
    shown.page.mouse.move(*point(shown, 5, 0))
    assert tip(shown).splitlines()[-1] == "tokens unknown here", "nothing was counted before the first point"


def test_a_click_and_the_enter_key_pin_an_expert_below_and_the_address_holds_it(shown: Screen):
    shown.open("/experts?refresh=off&layer=3")
    painted(shown, "3")
    shown.page.mouse.click(*point(shown, 4, 10))
    shown.wait_for(lambda: "4" in lines(shown), 20, "the clicked expert")
    heatmap = shown.page.locator(".moe-heatmap")
    heatmap.focus()
    before = view(shown)
    shown.page.keyboard.press("ArrowDown")
    assert tip(shown).splitlines()[0] == "expert 13 · layer 3"
    shown.page.keyboard.press("Enter")
    shown.wait_for(lambda: "13" in lines(shown), 20, "the pinned expert")
    shown.wait_for(lambda: "lines=4" in shown.page.url and "lines=13" in shown.page.url, 10, "both in the address")  # fmt: skip
    shown.wait_for(
        lambda: {"expert 4", "expert 13"} <= set(shown.page.evaluate("() => [...document.querySelectorAll('.js-plotly-plot')].flatMap(div => (div._fullData ?? []).map(one => one.name))")),
        20, "the lines",
    )  # fmt: skip
    assert view(shown) == before
    shown.page.keyboard.press("Enter")
    shown.wait_for(lambda: "13" not in lines(shown), 20, "the expert to leave again")
    assert shown.errors == []


def test_zoom_by_drag_wheel_keys_and_buttons_and_everything_again(shown: Screen):
    shown.open("/experts?refresh=off&layer=3")
    painted(shown, "3")
    whole = view(shown)
    (x0, y0), (x1, y1) = point(shown, 4, 10), point(shown, 12, 25)
    shown.page.mouse.move(x0, y0)
    shown.page.mouse.down()
    shown.page.mouse.move(x1, y1, steps=5)
    shown.page.mouse.up()
    assert view(shown) == {"x0": 10, "x1": 26, "y0": 4, "y1": 13}
    shown.page.locator(".moe-heatmap").focus()
    shown.page.keyboard.press("Shift+ArrowRight")
    assert view(shown)["x0"] > 10
    shown.page.keyboard.press("Home")
    assert view(shown) == whole
    button(shown, "Zoom in").click()
    assert view(shown)["x1"] - view(shown)["x0"] == pytest.approx(0.6 * GENERATIONS)
    shown.page.mouse.dblclick(*point(shown, 12, 20))
    assert view(shown) == whole
    shown.page.keyboard.down("Control")
    shown.page.mouse.wheel(0, -100)
    shown.page.keyboard.up("Control")
    shown.wait_for(lambda: view(shown) != whole, 10, "the wheel's zoom")


def test_png_and_svg_hold_title_axes_ticks_and_colour_bar(shown: Screen, tmp_path: Path):
    shown.open("/experts?refresh=off&layer=7")
    painted(shown, "7")
    with shown.page.expect_download() as picture:
        button(shown, "Download SVG").click()
    assert picture.value.suggested_filename == "experts-wide-layer-7.svg"
    picture.value.save_as(tmp_path / "map.svg")
    tree = ET.parse(tmp_path / "map.svg")  # the page's own picture, read to be checked
    said = {element.text for element in tree.iter() if element.tag.endswith("text")}
    assert {"Load ÷ fair load of layer 7, run wide", "Generation", "Expert", "0 dead", "1 fair", "≥ 2", "no value", "load ÷ fair load", "20", "0"} <= said  # fmt: skip
    assert any(element.tag.endswith("image") for element in tree.iter())
    with shown.page.expect_download() as picture:
        button(shown, "Download PNG").click()
    picture.value.save_as(tmp_path / "map.png")
    head = (tmp_path / "map.png").read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = (int.from_bytes(head[at : at + 4], "big") for at in (16, 20))
    box = shown.page.locator(".moe-heatmap").bounding_box()
    assert box is not None
    assert width == pytest.approx(2 * box["width"], abs=2)
    assert height > 2 * box["height"], "and a title above it"


def test_4096_experts_by_400_generations_are_painted_ordered_and_told(browser: Browser, serve: Serve, tmp_path_factory: pytest.TempPathFactory):  # fmt: skip
    runs = wide(tmp_path_factory.mktemp("large"), experts=4096, generations=400)
    with screen(browser, serve(runs)) as shown:
        shown.open("/experts?refresh=off&order=Similarity")
        painted(shown)
        assert "4096 experts over 400 points" in alt(shown)
        head = shown.page.evaluate(f"() => ({{rows: {MAP}.head.rows, cells: {MAP}.cells.length}})")
        assert sorted(map(int, head["rows"])) == list(range(4096))
        assert head["cells"] == 4096 * 400
        expert = int(head["rows"][1000])
        shown.page.evaluate(f"() => {MAP}.focus()")
        shown.page.mouse.move(*point(shown, 1000, 199))
        shown.wait_for(lambda: "tokens" in tip(shown) and "…" not in tip(shown), 60, "the tokens")
        row, generation = (int(found) for found in re.match(r"expert (\d+)\ngeneration (\d+)", tip(shown)).groups())  # type: ignore[union-attr]  # no match fails the test  # fmt: skip
        assert row in {int(name) for name in head["rows"][990:1010]}, expert
        assert tip(shown).splitlines()[-1] == f"{tokens(row, generation)} tokens"
        assert shown.errors == []
