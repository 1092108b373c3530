"""The manual's ways to keep the server running, tried: its systemd unit and its nginx configuration."""

from __future__ import annotations

import configparser
import http.client
import json
import re
import shlex
import signal
import socket
import ssl
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import ANY

import pytest
from support.flue_serve import Served
from support.requirements import needs_program

if TYPE_CHECKING:
    from conftest import Flue

PAGE = Path(__file__).parents[2] / "flue_cli" / "manual" / "operating.md"
TOKEN = "sesame-0123456789"


def block(language: str) -> str:
    """The page's one block in `language`."""
    (found,) = re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return str(found)


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "credentials" / "token"
    path.parent.mkdir()
    path.write_text(TOKEN + "\n")
    path.chmod(0o400)
    return path


def unit() -> configparser.RawConfigParser:
    """The page's systemd unit."""
    parser = configparser.RawConfigParser()
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(block("ini"))
    return parser


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    """systemd finds nothing to complain about."""
    analyze = needs_program("systemd-analyze")
    command = Path(sys.executable).with_name("flue")
    path = tmp_path / "flue.service"
    path.write_text(block("ini").replace("/usr/local/bin/flue", str(command)))

    done = subprocess.run([analyze, "verify", "--man=no", path], capture_output=True, text=True, check=False)
    complaints = [line for line in done.stderr.splitlines() if "flue" in line]
    assert (done.returncode, complaints) == (0, [])


def test_the_unit_starts_and_stops_the_server(flue: Flue, token_file: Path) -> None:
    """Its command runs, its grace is shorter than systemd's patience, and its end is one that systemd expects."""
    service = unit()["Service"]
    program, *arguments = shlex.split(service["ExecStart"].replace("%d", str(token_file.parent)))
    assert (Path(program).name, arguments[0]) == ("flue", "serve")
    port = arguments.index("--port")
    served = Served(flue, *arguments[1:port], *arguments[port + 2 :])
    right = {"Authorization": f"Bearer {TOKEN}", "Host": "flue.example.com"}

    assert served.ask("/api/agents", headers={"Host": "flue.example.com"}).status == 401
    assert served.ask("/api/agents", headers=right).status == 200
    assert served.stop(signal.SIGTERM) == -signal.SIGTERM
    assert int(service["TimeoutStopSec"]) > 20 + 5  # the server's own time of grace, and for cancelled turns


def test_behind_nginx(flue: Flue, token_file: Path, tmp_path: Path) -> None:
    """Prompts of all sizes and streams go through TLS and the proxy under the name of the site."""
    nginx = needs_program("nginx")
    needs_program("openssl")
    flue.agent("sizes", "def agent(p, s, c):\n    return str(len(p))\n")
    flue.agent("slow", "import time\ndef agent(p, s, c):\n    time.sleep(60)\n")  # its stream has begun
    served = Served(flue, "--token-file", str(token_file), "--allow-host", "flue.example.com")
    key, certificate = tmp_path / "flue.key", tmp_path / "flue.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=flue.example.com",
         "-addext", "subjectAltName=DNS:flue.example.com", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    site = block("nginx")
    for ours, theirs in {
        "listen 443 ssl": f"listen 127.0.0.1:{port} ssl",
        "127.0.0.1:3000": f"127.0.0.1:{served.port}",
        "/etc/ssl/flue.pem": str(certificate),
        "/etc/ssl/flue.key": str(key),
    }.items():
        assert ours in site
        site = site.replace(ours, theirs)
    temporary = "".join(
        f"{kind}_temp_path {tmp_path}/{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    config = tmp_path / "nginx.conf"
    config.write_text(
        f"daemon off; master_process off; pid {tmp_path}/pid; error_log stderr notice; events {{}}\n"
        f"http {{ access_log off; {temporary}\n{site}}}\n"
    )
    with subprocess.Popen([nginx, "-p", tmp_path, "-c", config], stderr=subprocess.PIPE) as proxy:
        try:
            assert proxy.stderr
            while b"using the" not in proxy.stderr.readline():
                assert proxy.poll() is None
            says = ask_through(port, certificate)
        finally:
            proxy.terminate()
            proxy.communicate()
    assert says == [
        (200, "Nice to meet you, Ada! How can I help?"),
        (401, ANY), (403, ANY), (200, ANY), (200, ANY),
        (200, "1000000"), (200, str(16 * 2**20)), (413, ANY),
    ]  # fmt: skip
    assert says[3][1].startswith("event: turn.started\n")
    assert "event: turn.completed\n" in says[4][1]


def ask_through(port: int, certificate: Path) -> list[tuple[int, str]]:
    """What a page of the site hears, whoever has no token, a page of another site; streams and large prompts."""
    right = {"Authorization": f"Bearer {TOKEN}"}
    own = {"Origin": "https://flue.example.com", "Sec-Fetch-Site": "same-origin"}
    events = {"Accept": "text/event-stream"}
    name = "my name is Ada"
    return [
        ask_once(port, certificate, "greeting", name, right | own),
        ask_once(port, certificate, "greeting", name, own),
        ask_once(port, certificate, "greeting", name, right | {"Origin": "https://evil.example"}),
        ask_once(port, certificate, "slow", name, right | events, bytes_to_read=20),
        ask_once(port, certificate, "sizes", "x" * 100_000, right | events),
        ask_once(port, certificate, "sizes", "x" * 1_000_000, right),
        ask_once(port, certificate, "sizes", "x" * 16 * 2**20, right),
        ask_once(port, certificate, "sizes", "x" * (16 * 2**20 + 1), right),
    ]


def ask_once(
    port: int,
    certificate: Path,
    agent: str,
    prompt: str,
    headers: dict[str, str],
    bytes_to_read: int | None = None,
) -> tuple[int, str]:
    """Status and answer, or its beginning."""
    context = ssl.create_default_context(cafile=str(certificate))
    with socket.create_connection(("127.0.0.1", port), timeout=30) as plain:
        connection = http.client.HTTPConnection("flue.example.com", timeout=30)
        connection.sock = context.wrap_socket(plain, server_hostname="flue.example.com")
        body = json.dumps({"prompt": prompt, "sessionId": "a"})
        connection.request(
            "POST", f"/api/agent/{agent}", body, {"Content-Type": "application/json"} | headers
        )
        response = connection.getresponse()
        found = response.status, response.read(bytes_to_read).decode()
        connection.close()
        return found
