"""Makes a picture of docs/images anew: the head of a page in a browser. Needs Chromium and playwright.

python docs/make_picture.py answers-sample/runs/RUN_ID.html docs/images/page.png
python docs/make_picture.py evaluation/report.html docs/images/evaluation.png
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

# Readers see it some 800 pixels wide: letters have to be legible then.
WIDTH, HEIGHT = 1080, 760


def main() -> None:
    page, picture = Path(sys.argv[1]).absolute(), Path(sys.argv[2])
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium") or shutil.which("google-chrome"), args=["--no-sandbox"]
        )
        tab = browser.new_page(
            viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light", device_scale_factor=1.25
        )
        tab.goto(page.as_uri())
        tab.screenshot(path=picture)
        browser.close()


if __name__ == "__main__":
    main()
