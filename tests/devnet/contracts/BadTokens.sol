// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {FiatToken} from "./FiatToken.sol";

/// Every transfer succeeds, moves nothing, marks nothing and emits nothing; every balance is huge.
contract NoopToken is FiatToken {
    constructor(string memory name_, string memory symbol_, string memory version_)
        FiatToken(name_, symbol_, version_)
    {}

    function balanceOf(address) public pure override returns (uint256) {
        return 1 << 200;
    }

    function transfer(address, uint256) external pure override returns (bool) {
        return true;
    }

    function transferFrom(address, address, uint256) external pure override returns (bool) {
        return true;
    }

    function _transferWithAuthorization(address, address, uint256, uint256, uint256, bytes32, bytes memory)
        internal
        override
    {}

    function _receiveWithAuthorization(address, address, uint256, uint256, uint256, bytes32, bytes memory)
        internal
        override
    {}
}

/// Keeps one percent of each transfer for itself: the payee receives, and its event shows, the rest.
contract FeeToken is FiatToken {
    constructor(string memory name_, string memory symbol_, string memory version_)
        FiatToken(name_, symbol_, version_)
    {}

    function _transfer(address from, address to, uint256 value) internal override returns (bool) {
        uint256 fee = value / 100;
        super._transfer(from, to, value - fee);
        super._transfer(from, address(this), fee);
        return true;
    }
}

/// Checks and marks authorizations as it should, but no transfer moves anything, emits its event or says true.
contract FalseToken is FiatToken {
    constructor(string memory name_, string memory symbol_, string memory version_)
        FiatToken(name_, symbol_, version_)
    {}

    function _transfer(address, address, uint256) internal pure override returns (bool) {
        return false;
    }
}

/// Burns about six million gas in each authorized transfer, then works.
contract GasBurner is FiatToken {
    constructor(string memory name_, string memory symbol_, string memory version_)
        FiatToken(name_, symbol_, version_)
    {}

    function _transferWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        bytes memory signature
    ) internal override {
        uint256 start = gasleft();
        bytes32 mixed;
        while (start - gasleft() < 6_000_000) {
            mixed = keccak256(abi.encode(mixed, from));
        }
        super._transferWithAuthorization(from, to, value, validAfter, validBefore, nonce, signature);
    }
}
