"""The same agents and sessions over HTTP: an ASGI app for any server (extra `serve`)."""
