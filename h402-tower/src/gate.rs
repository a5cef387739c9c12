//! The server-side layer: no payment, no handler.
