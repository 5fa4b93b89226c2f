"""A call to the model whose address is in ``MODEL_URL``; what came back is written to the file named by ``LEDGER``."""

import os

import httpx

_clients = {}


def call(name):
    """Call, and write ``name`` down once the answer is here."""
    client = _clients.get(os.getpid())
    if client is None:
        client = _clients[os.getpid()] = httpx.Client(trust_env=False, timeout=120)
    client.post(os.environ["MODEL_URL"], json={"model": "m", "messages": [], "user": name}).raise_for_status()
    ledger = os.open(os.environ["LEDGER"], os.O_CREAT | os.O_APPEND | os.O_WRONLY)
    os.write(ledger, f"{name}\n".encode())
    os.close(ledger)
    return os.getpid()
