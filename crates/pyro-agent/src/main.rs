//! pyro-agent
fn main() {}
