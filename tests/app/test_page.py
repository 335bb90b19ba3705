"""The page in a real browser: a video dubbed, a face chosen, a bad file refused, two jobs queued, results browsed."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import pytest

from tests.app.conftest import Served

pytest.importorskip("gradio", reason="the extra `app` is not installed: pip install 'syncdiff[app]'")
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
WAIT_MS = 240_000
DESKTOP, PHONE = {"width": 1200, "height": 1000}, {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


class Tab:
    """The page, open in a tab of its own; `asked` are the addresses that it wanted something from."""

    def __init__(self, browser: Any, served: Served, size: dict[str, int] = DESKTOP) -> None:
        self.page = browser.new_context(viewport=size, accept_downloads=True).new_page()
        self.page.set_default_timeout(WAIT_MS)
        self.asked: list[str] = []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self._served = served
        self.page.goto(served.address)

    def give(self, slot: str, file: Path, words: str) -> None:
        """Upload a file, and wait for what the page says of it."""
        self.page.set_input_files(f"#{slot} input[type=file]", str(file))
        self.wait_for(f"#{slot}-said", words)

    def wait_for(self, where: str, words: str) -> None:
        """Wait until some words are there."""
        self.page.locator(where).get_by_text(words).first.wait_for()

    def left(self) -> list[Path]:
        """Return the files on the server."""
        return [Path(folder, name) for folder, _, names in os.walk(self._served.uploads) for name in names]

    def close(self) -> None:
        """Close it, and check that it spoke with this machine alone and that nothing of it is left there."""
        others = [url for url in self.asked if not url.startswith((self._served.address, "data:", "blob:"))]
        assert others == []
        self.page.context.close()
        waiting = self.left()
        for _ in range(600):
            if not waiting:
                break
            time.sleep(0.2)
            waiting = self.left()
        assert waiting == []


def test_a_face_is_chosen_and_dubbed_beside_the_source(browser: Any, served: Served, tmp_path: Path) -> None:
    tab = Tab(browser, served)
    page = tab.page
    tab.give("video", served.given / "film.mp4", "320 × 160")
    tab.give("sound", served.given / "speech.wav", "0.8 s of sound")
    page.click("#look")
    tab.wait_for("#faces-said", "2 faces found")
    page.locator("#faces img").nth(1).click()
    tab.wait_for("#faces-said", "Chosen: face 2.")
    page.click("#dub")
    tab.wait_for("#out-said", "Tick that the person shown has agreed.")
    page.check("#consent input")
    page.click("#dub")
    tab.wait_for("#out-said", "Done.")
    assert "10 of 20 frames have generated lips, in 1 stretch" in page.inner_text("#report")
    assert "10 (another face)" in page.inner_text("#report")
    assert "after" in page.inner_text("#report table >> nth=0")
    with page.expect_download() as download:
        page.locator("#files a").first.click()
    download.value.save_as(tmp_path / "dubbed.mp4")
    with av.open(str(tmp_path / "dubbed.mp4")) as container:
        assert container.metadata["comment"].startswith("synthetic: ")
        assert sum(1 for _ in container.decode(video=0)) == 20
    reports = [json.loads(path.read_text()) for path in tab.left() if path.name == "report.json"]
    assert [(report["video"], report["generated"]) for report in reports] == [("video", 10)]
    _plays_in_step(page)
    tab.close()


def _plays_in_step(page: Any) -> None:
    videos = "[...document.querySelectorAll('#players video')]"
    page.wait_for_function(f"{videos}.length === 2 && {videos}.every((v) => v.readyState >= 2)")
    page.evaluate(f"{videos}[0].currentTime = 0.4")
    page.wait_for_function(f"Math.abs({videos}[1].currentTime - 0.4) < 0.05")
    page.evaluate(f"{videos}[1].muted = true; {videos}[1].play()")
    page.wait_for_function(f"{videos}.every((v) => v.ended || v.currentTime > 0.7)")


def test_a_bad_file_is_refused_in_a_line_and_the_page_goes_on(browser: Any, served: Served, tmp_path: Path) -> None:
    (tmp_path / "not a video.mp4").write_text("hello\n" * 50)
    tab = Tab(browser, served)
    tab.give("video", tmp_path / "not a video.mp4", "This video cannot be used: cannot be decoded")
    assert tab.left() == []
    tab.page.click("#dub")
    tab.wait_for("#out-said", "Upload a video first.")
    tab.give("video", served.given / "film.mp4", "320 × 160")
    tab.close()


def test_of_two_jobs_one_waits_and_is_told_its_place_and_both_are_done(browser: Any, served: Served) -> None:
    tabs = [Tab(browser, served), Tab(browser, served)]
    for tab in tabs:
        tab.give("video", served.given / "film.mp4", "320 × 160")
        tab.give("sound", served.given / "speech.wav", "0.8 s of sound")
        tab.page.check("#consent input")
    for tab in tabs:
        tab.page.click("#dub")
    tabs[1].wait_for("#out-said", "queue: ")
    for tab in tabs:
        tab.wait_for("#out-said", "Done.")
    tabs[1].page.click("#dub")
    tabs[1].page.click("#stop")
    tabs[1].wait_for("#out-said", "Stopped")
    for tab in tabs:
        tab.page.context.close()


def test_on_a_phone_videos_are_scored_and_results_browsed(browser: Any, served: Served) -> None:
    tab = Tab(browser, served, PHONE)
    page = tab.page
    page.get_by_role("tab", name="Score").click()
    page.set_input_files("#score-videos input[type=file]", [str(served.given / n) for n in ("film.mp4", "speech.wav")])
    page.locator("#score-videos").get_by_text("film").first.wait_for()
    page.click("#score")
    tab.wait_for("#score-said", "1 of 2 videos scored.")
    tab.wait_for("#scores [role=gridcell]", "no video stream")
    page.get_by_role("tab", name="Browse").click()
    page.locator("#clips [role=gridcell]").get_by_text("a/2").click()
    page.locator("#clip-players video").nth(1).wait_for()
    assert page.locator("#clip-players figcaption").all_inner_texts() == ["real video", "SyncDiff: synthetic"]
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    tab.close()
