//! The Distribution API and the registry token endpoint
