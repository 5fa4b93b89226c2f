"""An application for WSGI and ASGI servers: each request is a call to the model, named by the path.

``CALL_AT_LOAD`` has it call once while it is loaded, and wait so many seconds for what that begins in the background.
"""

import os
import time

from calling import call

if os.environ.get("CALL_AT_LOAD"):
    call("at-load")
    time.sleep(float(os.environ["CALL_AT_LOAD"]))


def wsgi(environ, start_response):
    pid = call(environ["PATH_INFO"].strip("/"))
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"%d" % pid]


async def asgi(scope, _receive, send):
    if scope["type"] != "http":
        return
    pid = call(scope["path"].strip("/"))
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"%d" % pid})
