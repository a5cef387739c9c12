// Four clients: KIND is fetch-v2, axios-v2, fetch-v1 or axios-v1.
//
// Reads one request a line, {id, url, network, key}, and says of each what came back: status, receipt, or why nothing was sent.

import { createInterface } from "node:readline";
import { createKeyPairSignerFromBytes, getBase58Encoder } from "@solana/kit";
import axios from "axios";
import { privateKeyToAccount } from "viem/accounts";
import { EVM, SVM, EVM_V1, SVM_V1, env, say } from "./program.mjs";

const rpcUrl = env("SVM_RPC");
const svmSigner = key => createKeyPairSignerFromBytes(getBase58Encoder().encode(key));
const ofFetch = async response => ({ status: response.status, header: name => response.headers.get(name) });
const ofAxios = response => ({ status: response.status, header: name => response.headers[name.toLowerCase()] });
const take = (client, url) => client.get(url, { validateStatus: status => status !== 402 }).then(ofAxios);

// The clients of version 2 also know version 1.
async function client2(core, network, key) {
  const { ExactEvmScheme } = await import("@x402/evm/exact/client");
  const { ExactEvmSchemeV1 } = await import("@x402/evm/exact/v1/client");
  const { ExactSvmScheme } = await import("@x402/svm/exact/client");
  const { ExactSvmSchemeV1 } = await import("@x402/svm/exact/v1/client");
  const client = new core();
  if (network === "evm") {
    const account = privateKeyToAccount(key);
    return client.register(EVM, new ExactEvmScheme(account)).registerV1(EVM_V1, new ExactEvmSchemeV1(account));
  }
  const signer = await svmSigner(key);
  return client
    .register(SVM, new ExactSvmScheme(signer, { rpcUrl }))
    .registerV1(SVM_V1, new ExactSvmSchemeV1(signer, { rpcUrl }));
}

// Those of version 1 sign with what they make of a key.
async function signer1(network, key) {
  const { createSigner } = await import("x402/types");
  return network === "evm" ? createSigner(EVM_V1, key) : createSigner(SVM_V1, key);
}

const kinds = {
  "fetch-v2": async (network, key) => {
    const { wrapFetchWithPayment, x402Client } = await import("@x402/fetch");
    const paying = wrapFetchWithPayment(fetch, await client2(x402Client, network, key));
    return url => paying(url).then(ofFetch);
  },
  "axios-v2": async (network, key) => {
    const { wrapAxiosWithPayment, x402Client } = await import("@x402/axios");
    const paying = wrapAxiosWithPayment(axios.create(), await client2(x402Client, network, key));
    return url => take(paying, url);
  },
  "fetch-v1": async (network, key) => {
    const { wrapFetchWithPayment } = await import("x402-fetch");
    const paying = wrapFetchWithPayment(fetch, await signer1(network, key), undefined, undefined, {
      svmConfig: { rpcUrl },
    });
    return url => paying(url).then(ofFetch);
  },
  "axios-v1": async (network, key) => {
    const { withPaymentInterceptor } = await import("x402-axios");
    const paying = withPaymentInterceptor(axios.create(), await signer1(network, key), undefined, {
      svmConfig: { rpcUrl },
    });
    return url => take(paying, url);
  },
};

const kind = kinds[env("KIND")];

function receipt(header) {
  const text = header("PAYMENT-RESPONSE") ?? header("X-PAYMENT-RESPONSE");
  return text ? JSON.parse(Buffer.from(text, "base64").toString("utf8")) : null;
}

async function pay({ id, url, network, key }) {
  try {
    const paying = await kind(network, key);
    const { status, header } = await paying(url);
    say({ id, status, receipt: receipt(header) });
  } catch (error) {
    const response = error.response && ofAxios(error.response);
    say(response ? { id, status: response.status, receipt: receipt(response.header) } : { id, error: String(error.message ?? error) });
  }
}

say({ ready: true });
createInterface({ input: process.stdin })
  .on("line", line => void pay(JSON.parse(line)))
  .on("close", () => process.exit(0));
