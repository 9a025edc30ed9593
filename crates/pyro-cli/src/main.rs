//! pyro-cli
fn main() {}
