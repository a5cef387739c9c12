"""A facilitator of x402 2.x from PyPI; it also knows the kinds of version 1."""

from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from solders.keypair import Keypair
from x402 import x402FacilitatorSync
from x402.mechanisms.evm import FacilitatorWeb3Signer
from x402.mechanisms.evm.exact import register_exact_evm_facilitator
from x402.mechanisms.svm import FacilitatorKeypairSigner
from x402.mechanisms.svm.exact import register_exact_svm_facilitator
from x402.schemas import parse_payment_payload, parse_payment_requirements

from program import EVM, SVM, env, serve

core = x402FacilitatorSync()
register_exact_evm_facilitator(core, FacilitatorWeb3Signer(env("EVM_KEY"), env("EVM_RPC")), networks=EVM)
keypair = Keypair.from_base58_string(env("SVM_KEY"))
register_exact_svm_facilitator(core, FacilitatorKeypairSigner(keypair, env("SVM_RPC")), networks=SVM)

app = FastAPI()


def shown(result):
    return result.model_dump(by_alias=True, exclude_none=True)


async def asked(request: Request, work):
    try:
        body = await request.json()
        payload = parse_payment_payload(body["paymentPayload"])
        requirements = parse_payment_requirements(payload.x402_version, body["paymentRequirements"])
        # Its signers of chains are synchronous.
        return shown(await run_in_threadpool(work, payload, requirements))
    except Exception as error:
        return JSONResponse({"error": str(error)}, status_code=500)


@app.post("/verify")
async def verify(request: Request):
    return await asked(request, core.verify)


@app.post("/settle")
async def settle(request: Request):
    return await asked(request, core.settle)


@app.get("/supported")
def supported():
    return shown(core.get_supported())


serve(app)
