"""A shop behind the FastAPI middleware of x402 2.x from PyPI."""

from collections import Counter

from fastapi import FastAPI
from x402.http import FacilitatorConfig, HTTPFacilitatorClient
from x402.http.middleware.fastapi import payment_middleware
from x402.mechanisms.evm.exact import ExactEvmServerScheme
from x402.mechanisms.svm.exact import ExactSvmServerScheme
from x402.server import x402ResourceServer

from program import EVM, SVM, env, serve

server = x402ResourceServer(HTTPFacilitatorClient(FacilitatorConfig(url=env("FACILITATOR"))))
server.register(EVM, ExactEvmServerScheme())
server.register(SVM, ExactSvmServerScheme())


def route(network, payee):
    accepts = {"scheme": "exact", "price": env("PRICE"), "network": network, "payTo": payee}
    return {"accepts": accepts, "description": "one answer", "mimeType": "application/json"}


app = FastAPI()
served = Counter()
gate = payment_middleware({"GET /evm": route(EVM, env("EVM_PAYEE")), "GET /svm": route(SVM, env("SVM_PAYEE"))}, server)


@app.middleware("http")
async def paid(request, call_next):
    return await gate(request, call_next)


@app.get("/evm")
@app.get("/svm")
def answer(cell: str):
    served[cell] += 1
    return {"served": cell}


@app.get("/served")
def count(cell: str):
    return served[cell]


serve(app)
