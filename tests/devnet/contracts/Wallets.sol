// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {SmartWallet} from "./Chain.sol";

/// An ERC-1271 account of one owner that says yes only where it believes to be tried out, or until its owner switches it off.
contract TrapWallet {
    /// When it says no, although its owner has signed.
    enum Trap {
        BaseFee,
        GasPrice,
        Coinbase,
        Switched
    }

    address public immutable owner;
    Trap public immutable trap;
    bool public switched;

    constructor(address owner_, Trap trap_) {
        owner = owner_;
        trap = trap_;
    }

    function switchOff(bool off) external {
        switched = off;
    }

    function isValidSignature(bytes32 hash, bytes calldata signature) external view returns (bytes4) {
        if (trap == Trap.BaseFee && block.basefee != 0) return 0xffffffff;
        if (trap == Trap.GasPrice && tx.gasprice != 0) return 0xffffffff;
        if (trap == Trap.Coinbase && block.coinbase != address(0)) return 0xffffffff;
        if (trap == Trap.Switched && switched) return 0xffffffff;
        if (signature.length != 65) return 0xffffffff;
        address signer = ecrecover(hash, uint8(signature[64]), bytes32(signature[0:32]), bytes32(signature[32:64]));
        return signer != address(0) && signer == owner ? bytes4(0x1626ba7e) : bytes4(0xffffffff);
    }
}

/// An ERC-1271 account that computes for as long as it is given gas, and takes any signature.
contract BurnerWallet {
    function isValidSignature(bytes32 hash, bytes calldata) external view returns (bytes4) {
        while (gasleft() > 20_000) {
            hash = keccak256(abi.encode(hash));
        }
        return 0x1626ba7e;
    }
}

/// Makes accounts at addresses that are known before (ERC-6492), and remembers who asked.
contract WalletFactory {
    uint256 public calls;
    address public lastCaller;

    function addressOf(address owner, bytes32 salt) external view returns (address) {
        bytes32 code = keccak256(abi.encodePacked(type(SmartWallet).creationCode, abi.encode(owner)));
        return address(uint160(uint256(keccak256(abi.encodePacked(bytes1(0xff), address(this), salt, code)))));
    }

    function make(address owner, bytes32 salt) external payable returns (address) {
        calls += 1;
        lastCaller = msg.sender;
        return address(new SmartWallet{salt: salt}(owner));
    }
}

/// A proxy as EIP-1967 has it; anybody may exchange what is behind it.
contract Proxy {
    bytes32 private constant SLOT = 0x360894a13ba1a3210667c828492db98dca3e2076cc3735a920a3ca505d382bbc;

    constructor(address implementation) {
        assembly {
            sstore(SLOT, implementation)
        }
    }

    function upgradeTo(address implementation) external {
        assembly {
            sstore(SLOT, implementation)
        }
    }

    fallback() external {
        assembly {
            calldatacopy(0, 0, calldatasize())
            let done := delegatecall(gas(), sload(SLOT), 0, calldatasize(), 0, 0)
            returndatacopy(0, 0, returndatasize())
            if iszero(done) { revert(0, returndatasize()) }
            return(0, returndatasize())
        }
    }
}

/// The oracle at 0x420000000000000000000000000000000000000F of OP-stack chains: a fee that a test sets, by bytes.
contract GasPriceOracle {
    uint256 public perByte;

    function set(uint256 wei_) external {
        perByte = wei_;
    }

    function getL1FeeUpperBound(uint256 size) external view returns (uint256) {
        return perByte * size;
    }
}
