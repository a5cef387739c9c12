//! The client-side layer: pays for calls that answer 402.
