"""Take a picture of the console of a running venue.

    python -m bench.screenshot --url http://127.0.0.1:8080 --token-file operator.token --out docs/images/console.png

Needs Debian's chromium (or --browser PATH) and the test requirements (playwright).
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def picture(
    url: str,
    token: str,
    out: Path,
    *,
    page: str = "venue",
    scheme: str = "light",
    width: int = 1366,
    height: int = 768,
    browser: str = "/usr/bin/chromium",
    settle_s: float = 2.0,
) -> None:
    """Log in, open a page of the console ("venue", "jobs", "jobs/acme/..."), let it settle, write a PNG."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as tool:
        started = tool.chromium.launch(executable_path=browser, args=list(ARGUMENTS))
        try:
            view: Any = {"width": width, "height": height}
            shown = started.new_page(viewport=view, color_scheme="dark" if scheme == "dark" else "light")
            shown.goto(url)
            shown.get_by_label("Token").fill(token)
            shown.get_by_role("button", name="Log in").click()
            shown.get_by_role("navigation").wait_for()
            shown.goto(f"{url}/#/{page}")
            shown.mouse.move(1, height // 2)
            shown.wait_for_timeout(1000 * settle_s)
            out.parent.mkdir(parents=True, exist_ok=True)
            shown.screenshot(path=out)
        finally:
            started.close()


def main(arguments: Sequence[str] | None = None) -> int:
    """Take the picture that the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m bench.screenshot", description="Picture of a running console")
    parser.add_argument("--url", required=True)
    parser.add_argument("--token-file", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--page", default="venue", help='"venue", "jobs", "episodes", "usage" or "jobs/VENDOR/JOB"')
    parser.add_argument("--scheme", choices=("light", "dark"), default="light")
    parser.add_argument("--size", default="1366x768", metavar="WIDTHxHEIGHT")
    parser.add_argument("--browser", default="/usr/bin/chromium")
    given = parser.parse_args(arguments)
    width, _, height = given.size.partition("x")
    picture(
        given.url.rstrip("/"),
        given.token_file.read_text().strip(),
        given.out,
        page=given.page,
        scheme=given.scheme,
        width=int(width),
        height=int(height),
        browser=given.browser,
    )
    print(f"wrote {given.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
