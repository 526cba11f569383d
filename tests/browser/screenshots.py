"""Every page of a running dashboard as pictures: `python -m tests.browser.screenshots URL FOLDER [PATH…]`.

At 1440 and 390 pixels, in the light and the dark theme; the whole page, not only what fits the window.
"""

import argparse
from pathlib import Path

from dashboard.sitemap import ENTRIES
from tests.browser.screen import chromium, screen


def main() -> None:
    """Take the pictures and name each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("url", help="of the dashboard, e.g. http://127.0.0.1:8501")
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "paths",
        nargs="*",
        default=["/" + entry.url for entry in ENTRIES],
        help="pages; all of the site map unless given",
    )
    parser.add_argument(
        "--width", type=int, action="append", help="in pixels; may be repeated (1440 and 390)"
    )
    parser.add_argument("--scheme", choices=("light", "dark"), action="append", help="may be repeated (both)")
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    with chromium() as browser:
        for width in asked.width or (1440, 390):
            for scheme in asked.scheme or ("light", "dark"):
                for path in asked.paths:
                    with screen(browser, asked.url.rstrip("/"), width=width, scheme=scheme) as shown:
                        name = path.strip("/").partition("?")[0] or "overview"
                        shown.open(path)
                        shown.page.wait_for_timeout(2000)  # figures paint after the script has ended
                        shown.unroll()
                        target = asked.folder / f"{name}-{width}-{scheme}.png"
                        shown.page.screenshot(path=target, full_page=True)
                        print(target, *shown.errors, sep="\n  ", flush=True)


if __name__ == "__main__":
    main()
