//! What tests need to run against real engines and the real program
