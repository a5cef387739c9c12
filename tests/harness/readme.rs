//! The README's examples, compiled with the doctests.

#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
