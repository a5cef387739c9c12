// A shop behind @x402/express 2.x.

import { HTTPFacilitatorClient } from "@x402/core/server";
import { ExactEvmScheme } from "@x402/evm/exact/server";
import { paymentMiddleware, x402ResourceServer } from "@x402/express";
import { ExactSvmScheme } from "@x402/svm/exact/server";
import { EVM, SVM, env, shop } from "./program.mjs";

const server = new x402ResourceServer(new HTTPFacilitatorClient({ url: env("FACILITATOR") }))
  .register(EVM, new ExactEvmScheme())
  .register(SVM, new ExactSvmScheme());
const route = (network, payTo) => ({
  accepts: { scheme: "exact", price: env("PRICE"), network, payTo },
  description: "one answer",
  mimeType: "application/json",
});

shop(
  paymentMiddleware({ "GET /evm": route(EVM, env("EVM_PAYEE")), "GET /svm": route(SVM, env("SVM_PAYEE")) }, server),
);
