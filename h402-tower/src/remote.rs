//! A facilitator reached over HTTP.
