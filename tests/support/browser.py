"""A real browser for tests of pages: the system's Chromium, driven by Playwright. Without it they are skipped."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

# Contrast of every visible piece of text with the nearest background that is not transparent, by WCAG 2's formula.
CONTRAST = """() => {
  const parse = (c) => c.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  const back = (e) => {
    for (; e; e = e.parentElement) {
      const c = parse(getComputedStyle(e).backgroundColor);
      if (c.length < 4 || c[3] > 0) return c;
    }
    return [255, 255, 255];
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const text = walker.currentNode.data.trim(), e = walker.currentNode.parentElement;
    if (!text || !e.getClientRects().length) continue;
    if (e.closest("script, style, svg, .hide, :disabled, label:has(:disabled)")) continue;
    const [a, b] = [light(parse(getComputedStyle(e).color)), light(back(e))].sort((x, y) => y - x);
    const ratio = (a + .05) / (b + .05);
    if (ratio < 4.5) found.push(`${ratio.toFixed(2)}: ${text.slice(0, 40)}`);
  }
  return [...new Set(found)];
}"""


# What reaches over the right edge of the window, but for what scrolls in itself.
CUT_OFF = """() => [...document.querySelectorAll("body *")]
  .filter((e) => e.getClientRects().length && !e.closest(".hide, .wide, svg"))
  .filter((e) => e.getBoundingClientRect().right > innerWidth + 1)
  .map((e) => `${e.tagName}: ${e.textContent.trim().slice(0, 40)}`)"""


@dataclass(slots=True)
class Opened:
    """A page in a tab, with what it said and asked for since it was opened."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def is_wider_than_the_window(self) -> bool:
        return bool(self.page.evaluate("document.documentElement.scrollWidth > window.innerWidth"))

    def cut_off(self) -> list[str]:
        """What reaches over the right edge."""
        found: list[str] = self.page.evaluate(CUT_OFF)
        return found

    def poor_contrasts(self) -> list[str]:
        """Pieces of text with a contrast under 4.5, each with its contrast."""
        found: list[str] = self.page.evaluate(CONTRAST)
        return found


@contextmanager
def chromium(*resolver_rules: str) -> Iterator[Browser]:
    """The browser, headless; with rules such as "MAP name 127.0.0.1" for what names lead to."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip(f"no browser: none of {', '.join(NAMES)} is installed")
    # Chromium's own sandbox does not work for root, as in most containers.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    if resolver_rules:
        arguments.append(f"--host-resolver-rules={', '.join(resolver_rules)}")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        yield browser
        browser.close()


@contextmanager
def opened(
    browser: Browser,
    path: Path,
    *,
    colours: Literal["light", "dark"] = "light",
    width: int = 1280,
    scripts: bool = True,
) -> Iterator[Opened]:
    """A page from a file, in a tab of its own."""
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=colours, java_script_enabled=scripts
    )
    page = context.new_page()
    tab = Opened(page)
    page.on("console", lambda message: tab.complaints.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: tab.complaints.append(f"error: {error}"))
    page.on("request", lambda request: tab.requests.append(request.url))
    page.goto(path.as_uri())
    try:
        yield tab
    finally:
        context.close()
