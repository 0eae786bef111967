//! What a user may use: a switch for each kind of credential, as in Oracle Cloud.
//!
//! API keys and auth tokens are the kinds that exist here: switched off, they stop at the next request. The
//! other switches are kept for clients that set them.

/// One switch; its value is its bit in a user's row, where `iam/src/login.rs` reads the first two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Capability {
    /// Sign requests.
    ApiKeys = 1,
    /// Log in to the registry.
    AuthTokens = 2,
    /// Sign in to the console.
    ConsolePassword = 4,
    /// Send mail.
    SmtpCredentials = 8,
    /// Log in to databases.
    DbCredentials = 16,
    /// Use the S3 interface of Object Storage.
    CustomerSecretKeys = 32,
    /// Act as an OAuth 2.0 client.
    OAuth2ClientCredentials = 64,
}

/// A user's switches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities(pub(crate) i64);

impl Capabilities {
    /// Everything on, as a new user has it.
    pub(crate) const ALL: Capabilities = Capabilities(127);

    /// Whether it is on.
    pub fn has(self, capability: Capability) -> bool {
        self.0 & capability as i64 != 0
    }

    /// With one switched on or off.
    #[must_use]
    pub fn with(self, capability: Capability, is_on: bool) -> Capabilities {
        let bit = capability as i64;
        Capabilities(if is_on { self.0 | bit } else { self.0 & !bit })
    }
}
