"""The site in a real Chromium, opened from disk: what a person does with it, and what it must not do."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny
from site_records import harmful, ordinary

for needed in ("altair", "itables", "vl_convert"):
    pytest.importorskip(needed, reason="needs the extra [report]")
playwright = pytest.importorskip("playwright.sync_api", reason="needs Playwright (the extra [dev])")
axe = pytest.importorskip("axe_playwright_python", reason="needs axe-core (the extra [dev])")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
WAIT = 40_000  # milliseconds, which only a busy machine needs
DESK, PHONE = {"width": 1400, "height": 900}, {"width": 390, "height": 844}
Open = Callable[..., Any]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("browser")
    ordinary(folder / "results")
    harmful(folder / "results")
    for output in (("site",), ("report.html", "--single-file")):
        assert tiny.command("report", folder / "results", "-o", folder / output[0], *output[1:], "--quiet").code == 0
    return folder / "site"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        made = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"], timeout=WAIT)
        yield made
        made.close()


@pytest.fixture
def visit(browser: Any, site: Path) -> Iterator[Open]:
    """Opens a page of the site; at the end nothing was complained of, asked from elsewhere, or harmed."""
    said: list[str] = []
    asked: list[str] = []
    contexts = []

    def visiting(name: str, *, theme: str = "light", size: dict[str, int] = DESK) -> Any:
        context = browser.new_context(color_scheme=theme, viewport=size)
        context.set_default_timeout(WAIT)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto((site.parent / name).as_uri())
        return page

    yield visiting
    for context in contexts:
        for page in context.pages:  # none where a test closed it
            assert page.evaluate("window.harmed") is None
        context.close()
    assert said == []
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []


def board(site: Path) -> str:
    """The leaderboard on digits."""
    return "site/" + next((site / "boards").glob("digits-*")).relative_to(site).as_posix()


def column(page: Any, number: int, table: str = "table[data-table]") -> list[str]:
    """The texts of a column of a table."""
    cells = page.locator(f"{table} tbody tr").evaluate_all(
        "(rows, n) => rows.map((row) => row.cells[n].querySelector('.value, a')?.textContent || row.cells[n].textContent)",
        number,
    )
    return [text.strip() for text in cells]


def violations(page: Any) -> list[tuple[str, str]]:
    """What axe-core finds wrong with a page, after its charts are drawn."""
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")  # for which all charts are drawn
    page.wait_for_function(
        "() => [...document.querySelectorAll('main .chart')].every((box) => box.querySelector('svg'))"
    )
    page.evaluate((Path(axe.__file__).parent / "axe.min.js").read_text(encoding="utf-8"))
    found = page.evaluate("axe.run(document, { preload: false }).then((result) => result.violations)")
    return [(one["id"], node["html"][:200]) for one in found for node in one["nodes"]]


def test_a_heading_sorts_and_a_word_filters(visit: Open) -> None:
    page = visit("site/runs.html")
    heading = page.locator("th[data-name='AA avg. %']")
    for ascending in (True, False):
        heading.click()
        page.locator(f"th[data-name='AA avg. %'][aria-sort={'ascending' if ascending else 'descending'}]").wait_for()
        numbers = [float(text) for text in column(page, 7)]
        assert numbers == sorted(numbers, reverse=not ascending)
    assert len(numbers) == 8
    page.get_by_label("Filter:").fill("Fast")
    page.wait_for_function("() => document.querySelectorAll('table[data-table] tbody tr').length === 2")
    assert set(column(page, 0)) == {"Fast, seed 0", "Fast, seed 1"}


def test_rank_name_and_minutes_of_a_leaderboard_sort_too(visit: Open, site: Path) -> None:
    page = visit(board(site))
    leaders = page.locator("table[data-table=board]")
    usual = column(page, 1, "table[data-table=board]")
    assert usual == ["Teacher digits-wrn-10-2", "FERD", "Fast"] or usual[1:] == ["FERD", "Fast"]
    for name, expected in (("Method", ["Fast", "FERD"]), ("Rank", ["FERD", "Fast"])):
        leaders.locator(f"th[data-name={name}]").click()
        leaders.locator(f"th[data-name={name}][aria-sort=ascending]").wait_for()
        assert [
            text for text in column(page, 1, "table[data-table=board]") if not text.startswith("Teacher")
        ] == expected
    assert leaders.locator("th[data-name=Minutes] [role=button]").count() == 1


def test_a_heading_sorts_by_keyboard(visit: Open) -> None:
    page = visit("site/runs.html")
    page.locator("th[data-name='Clean avg. %'] [role=button], th[data-name='Clean avg. %'] button").first.focus()
    page.keyboard.press("Enter")
    page.locator("th[data-name='Clean avg. %'][aria-sort=ascending]").wait_for()
    numbers = [float(text) for text in column(page, 5)]
    assert numbers == sorted(numbers)


def test_columns_are_chosen_and_intervals_shown(visit: Open, site: Path) -> None:
    page = visit(board(site))
    page.get_by_role("button", name="Columns").click()
    page.locator(".dt-button-collection").get_by_text("Clean NSD").click()
    page.keyboard.press("Escape")
    assert page.locator("table[data-table] th[data-name='Clean NSD ↓']").count() == 0
    assert not page.locator("td .interval").first.is_visible()
    page.get_by_label("Show 95 % intervals").first.check()
    assert page.locator("td .interval").first.is_visible()


def test_a_run_is_opened_from_its_leaderboard_and_compared(visit: Open, site: Path) -> None:
    page = visit("site/index.html")
    page.locator(".card a", has_text="digits →").first.click()
    page.get_by_role("link", name="Fast, run with seed 1").click()
    page.wait_for_selector("h1:has-text('Fast, seed 1')")
    assert page.locator(".caution", has_text="Beware of it.").count() == 1
    page.get_by_role("link", name="Compare with another run").click()
    page.locator(".compared").wait_for()
    chosen = page.locator("[data-run=A] option:checked")
    assert chosen.inner_text().startswith("Fast, seed 1")
    other = page.locator("[data-run=B] option", has_text="FERD, seed 0").first
    page.get_by_label("Run B").select_option(other.get_attribute("value"))
    row = page.locator(".compared tbody tr", has_text="AA Avg.")
    cells = row.locator("td").all_inner_texts()
    ours, theirs = (100 * (1 - wrong / 600) for wrong in (260 + 61, 260))
    assert cells[:3] == [f"{ours:.2f}", f"{theirs:.2f}", f"−{theirs - ours:.2f}"]
    assert cells[-1] == "B"
    page.get_by_role("button", name="Swap").click()
    swapped = row.locator("td").all_inner_texts()
    assert swapped[:3] == [f"{theirs:.2f}", f"{ours:.2f}", f"+{theirs - ours:.2f}"]
    assert swapped[-1] == "A"
    kept = page.evaluate("location.href")
    page.goto("about:blank")
    page.goto(kept)
    page.locator(".compared").wait_for()
    assert page.locator("[data-run=A] option:checked").inner_text().startswith("FERD, seed 0")


def test_the_theme_is_the_systems_until_another_is_chosen(visit: Open) -> None:
    def paper(page: Any) -> str:
        return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))

    dark, light = visit("site/index.html", theme="dark"), visit("site/index.html")
    assert paper(dark) != paper(light) == "rgb(255, 255, 255)"
    dark.get_by_role("button", name="Light theme").click()
    assert paper(dark) == paper(light)
    dark.get_by_role("link", name="Runs").click()
    dark.wait_for_selector("h1:has-text('All runs')")
    assert paper(dark) == paper(light)


def test_a_chart_shows_another_attack_and_says_what_it_shows(visit: Open, site: Path) -> None:
    page = visit(board(site))
    box = page.locator(".chart-box", has_text="Every class")
    box.scroll_into_view_if_needed()
    box.locator("svg").wait_for()
    assert box.locator("svg").get_attribute("aria-label").startswith("Every class. Accuracy of every class")
    before = box.locator("svg").inner_html()
    box.locator("select").select_option("Clean")
    page.wait_for_function(
        "([box, before]) => box.querySelector('svg').innerHTML !== before", arg=[box.element_handle(), before]
    )


def test_a_legend_names_only_what_its_chart_shows(visit: Open, site: Path) -> None:
    page = visit(board(site))
    box = page.locator(".chart-box", has_text="Who hides gradients")
    box.scroll_into_view_if_needed()
    box.locator("svg").wait_for()
    table = json.loads(box.locator("script").inner_text())
    kinds = {row[table["columns"].index("kind")] for row in table["rows"]}
    named = box.locator(".role-legend-label text").all_text_contents()
    assert sorted(named) == sorted(kinds)
    assert kinds < {"Teacher", "Flattered ‡", "Not flattered"}  # so that one could be there in vain


def test_a_phone_shows_every_class_by_scrolling_and_not_by_squeezing(visit: Open, site: Path) -> None:
    page = visit(board(site), size=PHONE)
    box = page.locator("figure.chart-box", has_text="Every class")
    box.scroll_into_view_if_needed()
    box.locator("svg").wait_for()
    inner, outer = (box.locator(name).bounding_box()["width"] for name in (".chart svg", ".chart-scroll"))
    assert inner > 10 * 28 > outer - 50  # ten classes, each as wide as two digits
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_comparing_begins_with_two_runs_that_were_tested(visit: Open) -> None:
    page = visit("site/compare.html")
    page.locator(".compared").wait_for()
    assert page.locator(".compared th", has_text="p (Holm)").count() == 1


def test_a_printed_leaderboard_is_dark_on_white_and_has_its_table_and_charts_without_controls(
    visit: Open, site: Path
) -> None:
    page = visit(board(site), theme="dark")
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    page.locator(".chart-box svg").first.wait_for()
    page.emulate_media(media="print")
    assert page.locator("table[data-table]").is_visible()
    assert page.locator(".chart-box svg").first.is_visible()
    assert not page.get_by_label("Filter:").is_visible()
    colours = page.evaluate("[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]")
    assert colours == ["rgb(0, 0, 0)", "rgb(255, 255, 255)"]
    cells = page.locator("table[data-table] th, table[data-table] td")
    assert set(cells.evaluate_all("(cells) => cells.map((cell) => getComputedStyle(cell).color)")) == {"rgb(0, 0, 0)"}
    papers = set(cells.evaluate_all("(cells) => cells.map((cell) => getComputedStyle(cell).backgroundColor)"))
    assert papers <= {"rgb(255, 255, 255)", "rgb(238, 238, 238)"}


def test_one_file_turns_to_its_pages_and_back(visit: Open) -> None:
    page = visit("report.html")
    page.get_by_role("link", name="Runs", exact=True).click()
    page.get_by_role("link", name="FERD, seed 1").click()
    page.wait_for_selector("h1:has-text('FERD, seed 1')")
    page.locator(".chart-box svg").first.wait_for()
    assert page.title().startswith("FERD, seed 1 on digits")
    page.go_back()
    page.wait_for_selector("h1:has-text('All runs')")
    page.get_by_role("link", name="Compare", exact=True).click()
    page.locator(".compared").wait_for()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_no_violation_and_no_page_is_wider_than_its_window(visit: Open, site: Path, theme: str) -> None:
    wanted = [
        "index.html",
        "runs.html",
        "methods.html",
        "compare.html",
        *(f"{path.relative_to(site)}" for path in _samples(site)),
    ]
    for name in wanted:
        size = PHONE if theme == "dark" else DESK
        page = visit(f"site/{name}", theme=theme, size=size)
        assert violations(page) == [], name
        assert page.evaluate("document.documentElement.scrollWidth") <= size["width"], name
        page.context.close()


def _samples(site: Path) -> list[Path]:
    """One page of each kind, an ordinary one and one whose names mean harm."""
    found = []
    for folder in ("boards", "runs", "methods"):
        pages = sorted((site / folder).iterdir())
        ordinary_page = next(path for path in pages if "img" not in path.name)
        found += [ordinary_page, next(path for path in pages if "img" in path.name)]
    return found
