// Compiles the *.sol files beside this script into artifacts/. Needed only after a contract changed:
//   cp -r . /tmp/contracts && cd /tmp/contracts && npm install --ignore-scripts && npm run compile
//   then copy artifacts/ back; node_modules stays outside of the repository.
import fs from 'node:fs';
import { createRequire } from 'node:module';

const solc = createRequire(import.meta.url)('solc');
const sources = {};
for (const file of fs.readdirSync('.').filter((name) => name.endsWith('.sol')).sort()) {
  sources[file] = { content: fs.readFileSync(file, 'utf8') };
}
const output = JSON.parse(solc.compile(JSON.stringify({
  language: 'Solidity',
  sources,
  settings: {
    evmVersion: 'cancun',
    optimizer: { enabled: true, runs: 200 },
    viaIR: true,
    metadata: { bytecodeHash: 'none', appendCBOR: false },
    outputSelection: { '*': { '*': ['abi', 'evm.bytecode.object', 'evm.deployedBytecode.object'] } },
  },
})));
for (const error of output.errors ?? []) {
  console.error(error.formattedMessage);
  if (error.severity === 'error') process.exitCode = 1;
}
fs.mkdirSync('artifacts', { recursive: true });
for (const [file, contracts] of Object.entries(output.contracts ?? {})) {
  for (const [name, contract] of Object.entries(contracts)) {
    const code = contract.evm.bytecode.object;
    if (code === '') continue; // interfaces and abstract contracts
    const artifact = {
      source: file,
      compiler: solc.version(),
      abi: contract.abi,
      bytecode: '0x' + code,
      deployedBytecode: '0x' + contract.evm.deployedBytecode.object,
    };
    fs.writeFileSync(`artifacts/${name}.json`, JSON.stringify(artifact) + '\n');
    console.log(name, code.length / 2, 'bytes');
  }
}
