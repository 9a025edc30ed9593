//! pyro-testkit
