// A shop behind x402-express 1.x.

import { paymentMiddleware } from "x402-express";
import { EVM_V1, SVM_V1, env, shop } from "./program.mjs";

const facilitator = { url: env("FACILITATOR") };
const route = network => ({
  price: env("PRICE"),
  network,
  config: { description: "one answer", mimeType: "application/json" },
});

shop(
  paymentMiddleware(env("EVM_PAYEE"), { "GET /evm": route(EVM_V1) }, facilitator),
  paymentMiddleware(env("SVM_PAYEE"), { "GET /svm": route(SVM_V1) }, facilitator),
);
