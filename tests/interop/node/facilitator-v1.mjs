// A facilitator of x402 1.x, which takes whatever client of a chain it is given.

import { createSigner } from "x402/types";
import { settle, verify } from "x402/facilitator";
import { createWalletClient, http, publicActions } from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { baseSepolia } from "viem/chains";
import { EVM_V1, SVM_V1, env, facilitator } from "./program.mjs";

// Its own makers of clients know public nodes only.
const evm = createWalletClient({
  account: privateKeyToAccount(env("EVM_KEY")),
  chain: baseSepolia,
  transport: http(env("EVM_RPC")),
  pollingInterval: 50,
}).extend(publicActions);
const svm = await createSigner(SVM_V1, env("SVM_KEY"));
const config = { svmConfig: { rpcUrl: env("SVM_RPC") } };
const signer = requirements => (requirements.network === SVM_V1 ? svm : evm);

facilitator({
  verify: (payload, requirements) => verify(signer(requirements), payload, requirements, config),
  settle: (payload, requirements) => settle(signer(requirements), payload, requirements, config),
  supported: () => ({
    kinds: [
      { x402Version: 1, scheme: "exact", network: EVM_V1 },
      { x402Version: 1, scheme: "exact", network: SVM_V1, extra: { feePayer: svm.address } },
    ],
  }),
  thrown: 400,
});
