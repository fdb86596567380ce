"""A preload module of Dask: it closes the HTTP server that every scheduler and worker starts.

That server has no password and no encryption; the only ports left are those with TLS.
"""

import os
from typing import Any


async def dask_setup(server: Any) -> None:
    """Stop the HTTP server of a scheduler or a worker, once it has started."""
    server.http_server.stop()
    if getattr(server, "nanny", None):
        os.setsid()  # Ctrl-C is for the nanny, which ends its worker
