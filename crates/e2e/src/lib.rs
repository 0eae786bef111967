//! The product driven by real clients
