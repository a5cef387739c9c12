"""Two clients of x402 2.x from PyPI: KIND is httpx or requests.

Reads one request a line, {id, url, network, key}, and says of each what came back: status, receipt, or why nothing was sent.
"""

import asyncio
import base64
import json
import sys

from eth_account import Account
from solders.keypair import Keypair
from x402 import x402Client, x402ClientSync
from x402.http.clients.httpx import x402HttpxClient
from x402.http.clients.requests import x402_requests
from x402.mechanisms.evm import EthAccountSigner
from x402.mechanisms.evm.exact import register_exact_evm_client
from x402.mechanisms.svm import KeypairSigner
from x402.mechanisms.svm.exact import register_exact_svm_client

from program import EVM, SVM, env, say


def registered(client, network, key):
    if network == "evm":
        return register_exact_evm_client(client, EthAccountSigner(Account.from_key(key)), networks=EVM)
    signer = KeypairSigner(Keypair.from_base58_string(key))
    return register_exact_svm_client(client, signer, networks=SVM, rpc_url=env("SVM_RPC"))


async def by_httpx(network, key, url):
    async with x402HttpxClient(registered(x402Client(), network, key), timeout=60) as session:
        response = await session.get(url)
        await response.aread()
        return response


async def by_requests(network, key, url):
    def get():
        return x402_requests(registered(x402ClientSync(), network, key)).get(url, timeout=60)

    return await asyncio.to_thread(get)


KINDS = {"httpx": by_httpx, "requests": by_requests}
kind = KINDS[env("KIND")]


def receipt(headers):
    text = headers.get("PAYMENT-RESPONSE") or headers.get("X-PAYMENT-RESPONSE")
    return json.loads(base64.b64decode(text)) if text else None


async def pay(line):
    call = json.loads(line)
    try:
        response = await kind(call["network"], call["key"], call["url"])
        say({"id": call["id"], "status": response.status_code, "receipt": receipt(response.headers)})
    except Exception as error:
        say({"id": call["id"], "error": f"{type(error).__name__}: {error}"})


async def main():
    say({"ready": True})
    tasks = set()
    while line := await asyncio.to_thread(sys.stdin.readline):
        task = asyncio.create_task(pay(line))
        tasks.add(task)
        task.add_done_callback(tasks.discard)


asyncio.run(main())
