//! libFuzzer around one target, which `H402_FUZZ_TARGET` names. Built and run by `cargo xtask fuzz`.
#![no_main]
#![allow(unsafe_code, reason = "libFuzzer calls a function without mangled name")]

use h402_fuzz::Target;
use libfuzzer_sys::Corpus;
use std::sync::OnceLock;

fn target() -> &'static Target {
    static TARGET: OnceLock<&Target> = OnceLock::new();
    TARGET.get_or_init(|| {
        let name = std::env::var("H402_FUZZ_TARGET").expect("H402_FUZZ_TARGET names a target");
        Target::named(&name).expect("H402_FUZZ_TARGET names a target")
    })
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| -> Corpus {
    target().run(bytes);
    if bytes.len() <= target().longest { Corpus::Keep } else { Corpus::Reject }
});
