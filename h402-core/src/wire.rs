//! Wire formats: the only place that knows JSON names.
