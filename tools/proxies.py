"""How nginx is run in a folder of its own, by whoever starts it."""

from __future__ import annotations

from typing import Final

_MAIN: Final = """
daemon off;
pid nginx.pid;
error_log stderr;
worker_processes 1;
events { worker_connections 4096; }
http {
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    include EXAMPLE;
}
"""


def nginx_main(example: str) -> str:
    """The main configuration around `example`, a file beside it that holds servers."""
    return _MAIN.replace("EXAMPLE", example)
