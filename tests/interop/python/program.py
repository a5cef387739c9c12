"""What the programs share: the environment, and the line that says where a server listens."""

import asyncio
import json
import os
import socket
import sys

import uvicorn

EVM = "eip155:84532"
SVM = "solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1"


def env(name):
    value = os.environ.get(name)
    if not value:
        raise SystemExit(f"{name} is not set")
    return value


def say(value):
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def serve(app):
    """Listens on a free port of loopback and says which."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(128)
    say({"url": f"http://127.0.0.1:{listener.getsockname()[1]}"})
    asyncio.run(uvicorn.Server(uvicorn.Config(app, log_level="warning")).serve(sockets=[listener]))
