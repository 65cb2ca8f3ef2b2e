"""The web gateway: HTTP, WebSocket and the dashboard for people with a browser. A plain client of the daemon's socket,
with no rights of its own; needs the extra `migmond[web]`."""
