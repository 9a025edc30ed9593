//! pyro-image
