"""A web page in a real browser, and what it gets from Prefect's server as the documents have it started."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

import pytest

from flows.server_settings import CLIENT_LOGIN, read_settings
from support.browser import chromium
from support.paths import ROOT
from support.prefect_box import PrefectBox, wait_for

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.slow

PAGE = """<h1>any web page</h1><script>
const api = "http://127.0.0.1:PORT/api", send = (path, body) => fetch(api + path, {
  method: "POST", headers: {"content-type": "application/json"}, body: JSON.stringify(body)}).then((r) => r.json());
(async () => { try {
  const blocks = await send("/block_documents/filter", {include_secrets: true});
  const deployment = (await send("/deployments/filter", {}))[0];
  const config = {...deployment.parameters.config, questions: "/etc/passwd", out: "/tmp/written-by-a-web-page"};
  const run = await send("/deployments/" + deployment.id + "/create_flow_run", {parameters: {config}});
  document.title = JSON.stringify([blocks.map((block) => block.data), run]);
} catch (error) { document.title = "blocked: " + error } })();
</script>"""


class Box(PrefectBox):
    """A user with a fresh home, who types what the documents say."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        # As by default: the login is made on the first use.
        del self.env["PREFECT_API_URL"], self.env["PREFECT_API_AUTH_STRING"]
        self.settings = folder / "state" / "bioqa" / f"prefect-{self.port}.env"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def up(self) -> None:
        """Waits for the API."""
        self.env["PREFECT_API_URL"] = f"{self.url}/api"
        wait_for(self.healthy, "the server does not answer", seconds=240)
        self.login = read_settings(self.settings)[CLIENT_LOGIN]


def documented(command: str) -> str:
    """The block of docs/deployment.md that ends with this command."""
    blocks = re.findall(r"^```\n(.*?)^```", (ROOT / "docs" / "deployment.md").read_text("utf-8"), re.DOTALL | re.M)
    [block] = [block for block in blocks if block.rstrip().endswith(command)]
    return str(block)


@pytest.fixture(scope="module", params=["flows.serve", "flows.server", "prefect server start"])
def box(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    folder = tmp_path_factory.mktemp("attacked")
    box = Box(folder)
    (folder / "q.txt").write_text("What causes scurvy?\n")
    try:
        if request.param == "prefect server start":
            lines = documented("prefect server start").replace("--settings", f"--settings --port {box.port}")
            (folder / "bash").write_text(lines)
            process = subprocess.Popen(["bash", folder / "bash"], cwd=ROOT, env=box.env, start_new_session=True)
            box._processes.append(process)
        elif request.param == "flows.server":
            box.start("server", "-m", "flows.server", "--port", str(box.port))
        else:
            job = ["--questions", str(folder / "q.txt"), "--out", str(folder / "out"), "--port", str(box.port)]
            box.start("served", "-m", "flows.serve", *job)
        box.up()
        if request.param == "flows.serve":
            wait_for(lambda: box.post("deployments/filter"), "nothing is served")
        box.post("block_types/filter")
        yield box
    finally:
        box.close()


@contextmanager
def page_of(host: str, port: int, content: str) -> Iterator[tuple[Page, str]]:
    """A tab of a browser for which `host` leads to this machine, and the address of a page with this content there."""

    class Site(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(content.encode())

        def log_message(self, format: str, *args: object) -> None:
            """Nothing on the terminal."""

    with ThreadingHTTPServer(("127.0.0.1", port), Site) as site, chromium(f"MAP {host} 127.0.0.1") as browser:
        Thread(target=site.serve_forever, daemon=True).start()
        yield browser.new_page(), f"http://{host}:{site.server_port}/"
        site.shutdown()


def test_a_page_is_blocked(box: Box) -> None:
    with page_of("evil.example", 0, PAGE.replace("PORT", str(box.port))) as (page, address):
        page.goto(address)
        page.wait_for_function("document.title")
        assert page.title() == "blocked: TypeError: Failed to fetch"
    assert box.flow_runs() == []


def test_a_page_whose_name_comes_to_lead_to_the_server_is_blocked(box: Box, request: pytest.FixtureRequest) -> None:
    script = PAGE.split("<script>")[1].split("</script>")[0].replace("http://127.0.0.1:PORT", "")
    with page_of("evil.example", 0, "") as (page, _):
        # Its name leads to the server by now, so that its scripts share the server's origin.
        answer = page.goto(f"http://evil.example:{box.port}/api/health")
        assert answer is not None
        is_checked = "prefect server start" not in request.node.name
        assert answer.status == (400 if is_checked else 200)
        page.evaluate(f"() => {{ document.title = ''; {script} }}")
        page.wait_for_function("document.title")
        assert page.title().startswith("blocked: ")
        token = page.evaluate("fetch('/api/csrf-token?client=a-page').then((r) => r.status)")
        assert token == (400 if is_checked else 401)
    assert box.flow_runs() == []


def test_its_owner_logs_in_and_nobody_else_is_told(box: Box) -> None:
    with page_of("evil.example", 0, "") as (page, _):
        asked: set[str] = set()
        page.on("request", lambda request: asked.add(request.url.split("/")[2]))
        page.goto(f"{box.url}/")
        field = page.locator("input").first
        field.fill(read_settings(box.settings)[CLIENT_LOGIN])
        field.press("Enter")
        page.wait_for_url("**/dashboard*")
        page.goto(f"{box.url}/deployments")
        page.get_by_text("Deployments").first.wait_for()
        if box.post("deployments/filter"):
            page.get_by_text("served").first.wait_for()
        assert asked == {f"127.0.0.1:{box.port}"}


def test_the_key_in_a_block_is_for_those_who_log_in(box: Box) -> None:
    code = "from prefect.blocks.system import Secret; Secret(value='a-key').save('ncbi-api-key', overwrite=True)"
    subprocess.run(
        ["bash", "-c", f'set -a; . "{box.settings}"; set +a; exec "$0" -c "$1"', sys.executable, code],
        env=box.env,
        check=True,
        cwd=ROOT,
    )
    [block] = box.post("block_documents/filter", include_secrets=True)
    assert block["data"]["value"] == "a-key"
    login, box.login = box.login, "bioqa:guessed"
    with pytest.raises(Exception, match="401"):
        box.post("block_documents/filter", include_secrets=True)
    box.login = login


def test_it_listens_on_loopback_alone(box: Box) -> None:
    # Whoever listens on every address, listens on this one, too.
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", box.port), timeout=5)
