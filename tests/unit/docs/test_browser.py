"""The documentation in a browser: Debian's Chromium without a window, as on a desk and as on a phone."""

from __future__ import annotations

import functools
import http.server
import json
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

PHONE = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
DESK = {"width": 1280, "height": 900, "deviceScaleFactor": 1, "mobile": False}
PATIENCE = 20


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files and does not write about it."""

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def address(built: Path) -> Iterator[str]:
    """Where the built pages are served."""
    handler = functools.partial(Quiet, directory=str(built))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    """Chromium, with what it logs and fetches recorded."""
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    assert program, "chromium is not installed: apt install chromium chromium-driver"
    assert driver, "chromedriver is not installed: apt install chromium chromium-driver"
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for word in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"):
        options.add_argument(word)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    chrome = webdriver.Chrome(options=options, service=Service(driver))
    yield chrome
    chrome.quit()


@pytest.fixture
def desk(browser: webdriver.Chrome) -> webdriver.Chrome:
    """The browser with a large window."""
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", DESK)
    return browser


@pytest.fixture
def phone(browser: webdriver.Chrome) -> webdriver.Chrome:
    """The browser as wide as a phone."""
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", PHONE)
    return browser


@pytest.fixture(scope="module")
def paths(built: Path) -> list[str]:
    """Every page, as the end of its address."""
    found = sorted(f"/{page.parent.relative_to(built)}/" for page in built.rglob("index.html"))
    assert len(found) > 30
    return found


def fetched(browser: webdriver.Chrome) -> set[str]:
    """Addresses that were asked for since the last call."""
    messages = (json.loads(entry["message"])["message"] for entry in browser.get_log("performance"))
    return {
        message["params"]["request"]["url"]
        for message in messages
        if message["method"] == "Network.requestWillBeSent"
    }


def test_no_page_complains_or_asks_another_host(
    desk: webdriver.Chrome, address: str, paths: list[str]
) -> None:
    wrong = []
    for path in paths:
        desk.get(address + path)
        wrong += [
            f"{path}: {each['message']}" for each in desk.get_log("browser") if each["level"] == "SEVERE"
        ]
        wrong += [
            f"{path} asks {url}" for url in fetched(desk) if not url.startswith((address, "data:", "blob:"))
        ]
    assert wrong == []


def test_no_page_scrolls_sideways_on_a_phone(phone: webdriver.Chrome, address: str, paths: list[str]) -> None:
    wide = {}
    for path in paths:
        phone.get(address + path)
        width = phone.execute_script("return document.scrollingElement.scrollWidth")
        if width > PHONE["width"]:
            wide[path] = width
    assert wide == {}


def test_the_search_finds_srv(desk: webdriver.Chrome, address: str) -> None:
    desk.get(f"{address}/")
    desk.find_element(By.CSS_SELECTOR, "input[data-md-component=search-query]").click()
    desk.switch_to.active_element.send_keys("SRV")

    def titles(browser: webdriver.Chrome) -> list[str]:
        return [
            each.text
            for each in browser.find_elements(By.CSS_SELECTOR, ".md-search-result__article h1")
            if each.text
        ]

    found = WebDriverWait(desk, PATIENCE).until(titles)
    assert any("DNS" in title for title in found), found


def test_the_copy_button_takes_commands_without_prompts_and_outputs(
    desk: webdriver.Chrome, address: str
) -> None:
    desk.get(f"{address}/components/dns/")
    found = "//div[contains(@class, 'highlight')][.//code[contains(., 'dig +short SRV')]]"
    block = desk.find_element(By.XPATH, found)
    desk.execute_script("arguments[0].scrollIntoView({block: 'center'})", block)
    # Only a real click may write to the clipboard.
    ActionChains(desk).move_to_element(block).perform()
    ActionChains(desk).click(block.find_element(By.CSS_SELECTOR, "button")).perform()
    desk.execute_script("document.querySelector('article').prepend(document.createElement('textarea'))")
    paper = desk.find_element(By.CSS_SELECTOR, "article textarea")
    paper.send_keys(Keys.CONTROL, "v")
    assert str(paper.get_property("value")).splitlines() == [
        "./millrace ssh node1 'dig +short SRV _prediction._tcp.millrace.internal | sort'",
        "./millrace ssh node1 getent hosts registry.millrace.internal",
    ]


def test_the_map_is_drawn_with_its_texts_inside(desk: webdriver.Chrome, address: str) -> None:
    desk.get(f"{address}/explanation/architecture/")
    figure = desk.find_element(By.CSS_SELECTOR, ".site-map svg")
    assert figure.size["height"] > 200
    outside = desk.execute_script(
        """
        const frame = arguments[0].getBoundingClientRect();
        return [...arguments[0].querySelectorAll('text, rect')].filter(each => {
          const box = each.getBoundingClientRect();
          const out = box.left < frame.left || box.right > frame.right + 1 || box.bottom > frame.bottom + 1;
          return out || !box.width;
        }).map(each => each.textContent);
        """,
        figure,
    )
    assert outside == []


def test_light_and_dark_are_a_click_apart(desk: webdriver.Chrome, address: str) -> None:
    desk.get(f"{address}/")
    schemes = set()
    for _ in range(3):
        schemes.add(
            desk.execute_script("return getComputedStyle(document.body).getPropertyValue('background-color')")
        )
        desk.execute_script(
            "document.querySelector('form[data-md-component=palette] label:not([hidden])').click()"
        )
    assert len(schemes) == 2
