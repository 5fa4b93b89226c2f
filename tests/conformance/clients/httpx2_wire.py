"""httpx2 without an SDK."""

import functools

import httpx2

from conformance.clients.wire import Wire

Client = functools.partial(Wire, httpx2)
