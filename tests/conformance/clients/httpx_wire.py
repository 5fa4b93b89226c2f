"""httpx without an SDK."""

import functools

import httpx

from conformance.clients.wire import Wire

Client = functools.partial(Wire, httpx)
