//! The binary `apply-layer`.
fn main() {}
