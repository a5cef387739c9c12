// A facilitator of @x402/core 2.x, @x402/evm and @x402/svm; it also knows the kinds of version 1.

import { x402Facilitator } from "@x402/core/facilitator";
import { toFacilitatorEvmSigner } from "@x402/evm";
import { registerExactEvmScheme } from "@x402/evm/exact/facilitator";
import { toFacilitatorSvmSigner } from "@x402/svm";
import { registerExactSvmScheme } from "@x402/svm/exact/facilitator";
import { createKeyPairSignerFromBytes, getBase58Encoder } from "@solana/kit";
import { createWalletClient, http, publicActions } from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { baseSepolia } from "viem/chains";
import { EVM, SVM, env, facilitator } from "./program.mjs";

const account = privateKeyToAccount(env("EVM_KEY"));
const wallet = createWalletClient({
  account,
  chain: baseSepolia,
  transport: http(env("EVM_RPC")),
  pollingInterval: 50,
}).extend(publicActions);
const evm = toFacilitatorEvmSigner({
  address: account.address,
  getCode: args => wallet.getCode(args),
  readContract: args => wallet.readContract({ ...args, args: args.args ?? [] }),
  verifyTypedData: args => wallet.verifyTypedData(args),
  writeContract: args => wallet.writeContract({ ...args, args: args.args ?? [] }),
  sendTransaction: args => wallet.sendTransaction(args),
  waitForTransactionReceipt: args => wallet.waitForTransactionReceipt(args),
});
const key = await createKeyPairSignerFromBytes(getBase58Encoder().encode(env("SVM_KEY")));
const svm = toFacilitatorSvmSigner(key, { defaultRpcUrl: env("SVM_RPC") });

const core = new x402Facilitator();
registerExactEvmScheme(core, { signer: evm, networks: EVM });
registerExactSvmScheme(core, { signer: svm, networks: SVM });

facilitator({
  verify: (payload, requirements) => core.verify(payload, requirements),
  settle: (payload, requirements) => core.settle(payload, requirements),
  supported: () => core.getSupported(),
  thrown: 500,
});
