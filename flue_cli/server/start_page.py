"""The page at `/`, for a person who opens the server's address in a browser. It runs no script."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import Response

from flue_cli import __version__

if TYPE_CHECKING:
    from starlette.requests import Request

_PAGE = f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<title>Flue</title>
<style>
body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 40rem; margin: 3rem auto; padding: 0 1rem }}
</style>
<h1>Flue {__version__}</h1>
<p>This server answers prompts. Agents and their sessions are under these addresses:
<ul>
<li><a href="api/agents"><code>GET api/agents</code></a>: the agents
<li><code>POST api/agent/NAME</code>: a prompt, as <code>{{"prompt": "...", "sessionId": "..."}}</code>
<li><code>GET api/agent/NAME/sessions</code>: the sessions of an agent
<li><a href="openapi.json"><code>GET openapi.json</code></a>: all addresses, in OpenAPI
</ul>
<p>The command <code>flue help http</code> explains them.
</html>
"""
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}


async def start_page(_: Request) -> Response:
    """`GET /`: the addresses of the server, with relative links, which work behind a proxy's path too."""
    return Response(_PAGE, 200, _HEADERS, "text/html")
