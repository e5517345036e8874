"""Makes docs/images/page.png anew: the page of a run over the sample in a browser. Needs Chromium and playwright.

python docs/make_picture.py answers-sample/runs/RUN_ID.html
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

PICTURE = Path(__file__).with_name("images") / "page.png"
WIDTH, HEIGHT = 1440, 900


def main() -> None:
    page = Path(sys.argv[1]).absolute()
    PICTURE.parent.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium") or shutil.which("google-chrome"), args=["--no-sandbox"]
        )
        tab = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
        tab.goto(page.as_uri())
        tab.screenshot(path=PICTURE)
        browser.close()


if __name__ == "__main__":
    main()
