"""An application for WSGI and ASGI servers: each request is a call to the model, named by the path."""

from calling import call


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
