//! What can be wrong with a signed request or a key.

use http::{HeaderName, Method};

use crate::authorization::{MAX_AUTHORIZATION_BYTES, MAX_SIGNED_HEADERS};
use crate::verify::MAX_SKEW_SECONDS;

/// Why a request is not authenticated, or a key is refused. For the server's log: a client is told less.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The request shows no credentials.
    #[error("there is no `authorization` header; sign the request")]
    NoAuthorization,
    /// It shows several.
    #[error("there are several `authorization` headers; send one")]
    SeveralAuthorizations,
    /// Its credentials are of another kind, such as `Basic`.
    #[error("the authorization scheme is not `Signature`; sign the request")]
    OtherScheme,
    /// The `authorization` header is longer than [`MAX_AUTHORIZATION_BYTES`].
    #[error("the `authorization` header has {0} bytes; {MAX_AUTHORIZATION_BYTES} are allowed")]
    AuthorizationTooLong(usize),
    /// The parameters are not `name="value"` separated by commas.
    #[error("the `authorization` header is not `Signature name=\"value\",…`; write it so")]
    AuthorizationSyntax,
    /// A parameter is given twice.
    #[error("the parameter `{0}` is given twice; give it once")]
    RepeatedParameter(&'static str),
    /// A parameter is missing.
    #[error("the parameter `{0}` is missing; add it to the `authorization` header")]
    MissingParameter(&'static str),
    /// The signature is of another version than 1.
    #[error("signature version `{0}` is unknown; use `1`")]
    UnknownVersion(String),
    /// The algorithm is not `rsa-sha256`.
    #[error("algorithm `{0}` is not supported; use `rsa-sha256`")]
    UnknownAlgorithm(String),
    /// The key id has no form that [`crate::KeyId`] knows.
    #[error("the key id is neither `tenancy/user/fingerprint` nor `ST$` and a token; correct it")]
    KeyIdSyntax,
    /// A fingerprint is not 16 pairs of lower-case hexadecimal digits joined by colons.
    #[error("the fingerprint is not 16 pairs of lower-case hexadecimal digits joined by `:`; correct it")]
    FingerprintSyntax,
    /// The signature is not in base64.
    #[error("the parameter `signature` is not base64; encode it so")]
    SignatureSyntax,
    /// A word of the list of signed headers can't be the name of one.
    #[error("`{0}` can be no signed header; name headers or `(request-target)`")]
    SignedHeaderSyntax(String),
    /// More headers are signed than [`MAX_SIGNED_HEADERS`].
    #[error("more than {MAX_SIGNED_HEADERS} headers are signed; sign fewer")]
    TooManySignedHeaders,
    /// A header is named twice in the list of signed headers.
    #[error("`{0}` is twice in the list of signed headers; name it once")]
    SignedTwice(String),
    /// A header that must be signed is not.
    #[error("`{0}` is not signed; add it to the signed headers")]
    NotSigned(&'static str),
    /// A signed header is not in the request.
    #[error("`{0}` is signed but not in the request; send it")]
    AbsentHeader(HeaderName),
    /// A signed header that may have one value has several.
    #[error("`{0}` is in the request several times; send it once")]
    RepeatedHeader(HeaderName),
    /// No such request is signed.
    #[error("the method `{0}` can't be signed; use GET, HEAD, DELETE, POST, PUT or PATCH")]
    UnknownMethod(Method),
    /// `date` or `x-date` is no date.
    #[error("`{0}` is not a date such as `Mon, 23 Nov 2026 20:33:59 GMT`; write it so")]
    DateSyntax(HeaderName),
    /// `date` or `x-date` is more than [`MAX_SKEW_SECONDS`] from the clock.
    #[error(
        "`{header}` is {seconds} s from our clock; {MAX_SKEW_SECONDS} are allowed; set the client's clock"
    )]
    Skew {
        /// Which of the two.
        header: HeaderName,
        /// How far.
        seconds: u64,
    },
    /// `x-content-sha256` is not the base64 of 32 bytes.
    #[error("`x-content-sha256` is not a SHA-256 in base64; encode it so")]
    BodyHashSyntax,
    /// The signature is not one by this key over this request.
    #[error("the signature is not by this key over this request; check key, proxies and what is signed")]
    WrongSignature,
    /// The body is not the signed one.
    #[error("the body does not have the signed `x-content-sha256`; send the body that was signed")]
    WrongBody,
    /// There is a body although the signature covers none.
    #[error("there is a body but `x-content-sha256` is not signed; sign it or send no body")]
    UnsignedBody,
    /// The text is no PEM of the wanted kind.
    #[error("there is no PEM block `{0}`; give the key in that form")]
    NoPem(&'static str),
    /// The private key is encrypted.
    #[error("the private key is encrypted; decrypt it first, as with `openssl pkey`")]
    EncryptedKey,
    /// The key is not RSA, or too short, or damaged.
    #[error("the key is refused ({0}); give an RSA key of 2048 to 8192 bits")]
    UnfitKey(&'static str),
    /// The clock that was passed in can't be written as a date.
    #[error("{0} s since 1970 is no date that can be written; correct the clock")]
    Clock(i64),
    /// A private key made no signature.
    #[error("the private key made no signature; check the key")]
    Signing,
}
