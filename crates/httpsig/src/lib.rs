//! Request signatures of Oracle Cloud: read, verified and made.
//!
//! They are those of draft-cavage-http-signatures-08 with RSA-SHA256, and rules of their own about what
//! must be signed. Verifying takes three steps, each possible with what the server has by then:
//! [`Unverified::read`] checks all that needs no key, [`Unverified::verify`] the signature with the key that
//! the key id names, [`Verified::check_body`] the body.
//!
//! Pure: it knows no I/O, no clock, no store of keys and no answer to a client. It never panics, whatever
//! the request, and its work is linear in it.

mod authorization;
mod error;
mod key_id;
mod keys;
mod request;
mod sign;
mod verify;

pub use authorization::{MAX_AUTHORIZATION_BYTES, MAX_SIGNED_HEADERS};
pub use error::Error;
pub use key_id::{Fingerprint, KeyId};
pub use keys::{PrivateKey, PublicKey};
pub use request::Request;
pub use sign::sign;
pub use verify::{ContentHeaders, MAX_SKEW_SECONDS, Unverified, Verified};
