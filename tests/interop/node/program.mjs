// What the programs share: the environment, the line that says where a server listens, and what was counted.

import express from "express";

export const EVM = "eip155:84532";
export const SVM = "solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1";
export const EVM_V1 = "base-sepolia";
export const SVM_V1 = "solana-devnet";

export function env(name) {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set`);
  return value;
}

export const say = value => process.stdout.write(`${JSON.stringify(value)}\n`);

// Listens on a free port of loopback and says which.
export function listen(app) {
  const server = app.listen(0, "127.0.0.1", () => say({ url: `http://127.0.0.1:${server.address().port}` }));
}

// A shop: what is paid for, and how often each cell got it. Whoever pays is told by the middleware before it.
export function shop(...gates) {
  const app = express();
  const served = new Map();
  // Express 4 does not wait for what a middleware promises.
  for (const gate of gates) app.use((req, res, next) => Promise.resolve(gate(req, res, next)).catch(next));
  for (const path of ["/evm", "/svm"]) {
    app.get(path, (req, res) => {
      const cell = String(req.query.cell);
      served.set(cell, (served.get(cell) ?? 0) + 1);
      res.json({ served: cell });
    });
  }
  app.get("/served", (req, res) => res.json(served.get(String(req.query.cell)) ?? 0));
  listen(app);
}

// The HTTP face of a facilitator: three routes. What it throws is its caller's 400 or 500, as its makers do it.
export function facilitator({ verify, settle, supported, thrown }) {
  const app = express();
  app.use(express.json({ limit: "1mb" }));
  const answer = work => async (req, res) => {
    try {
      res.json(await work(req.body.paymentPayload, req.body.paymentRequirements));
    } catch (error) {
      res.status(thrown).json({ error: String(error.message ?? error) });
    }
  };
  app.post("/verify", answer(verify));
  app.post("/settle", answer(settle));
  app.get("/supported", answer(supported));
  listen(app);
}
