//! The `authorization` header: who says to have signed what.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::request::Line;
use crate::{Error, KeyId};

/// The longest `authorization` header that is read: room for a security token and the longest signature.
pub const MAX_AUTHORIZATION_BYTES: usize = 16 << 10;
/// The most headers that a signature may cover.
pub const MAX_SIGNED_HEADERS: usize = 32;

const ALGORITHM: &str = "rsa-sha256";
const VERSION: &str = "1";

/// The parameters of a signature.
#[derive(Debug)]
pub(crate) struct Authorization {
    pub(crate) key_id: KeyId,
    /// In the order in which they are signed.
    pub(crate) lines: Vec<Line>,
    pub(crate) signature: Vec<u8>,
}

impl Authorization {
    pub(crate) fn read(headers: &HeaderMap) -> Result<Self, Error> {
        let mut values = headers.get_all(header::AUTHORIZATION).iter();
        let value = values.next().ok_or(Error::NoAuthorization)?;
        if values.next().is_some() {
            return Err(Error::SeveralAuthorizations);
        }
        if value.len() > MAX_AUTHORIZATION_BYTES {
            return Err(Error::AuthorizationTooLong(value.len()));
        }
        let text = value.to_str().map_err(|_| Error::AuthorizationSyntax)?;
        let (scheme, parameters) = text.split_once(' ').ok_or(Error::OtherScheme)?;
        if !scheme.eq_ignore_ascii_case("Signature") {
            return Err(Error::OtherScheme);
        }
        let parameters = Parameters::parse(parameters.trim())?;

        // The draft has no such parameter, so clients built on its libraries leave it out.
        let version = parameters.version.unwrap_or(VERSION);
        if version != VERSION {
            return Err(Error::UnknownVersion(version.to_owned()));
        }
        let algorithm = parameters.algorithm.ok_or(Error::MissingParameter("algorithm"))?;
        if algorithm != ALGORITHM {
            return Err(Error::UnknownAlgorithm(algorithm.to_owned()));
        }
        let signature = parameters.signature.ok_or(Error::MissingParameter("signature"))?;
        Ok(Self {
            key_id: parameters.key_id.ok_or(Error::MissingParameter("keyId"))?.parse()?,
            lines: parse_lines(parameters.headers.ok_or(Error::MissingParameter("headers"))?)?,
            signature: STANDARD.decode(signature).map_err(|_| Error::SignatureSyntax)?,
        })
    }

    pub(crate) fn signs(&self, name: &str) -> bool {
        self.lines.iter().any(|line| line.name() == name)
    }

    /// The header, with its parameters as the Python SDK orders them.
    pub(crate) fn to_header(&self) -> Result<HeaderValue, Error> {
        let headers: Vec<&str> = self.lines.iter().map(Line::name).collect();
        let text = format!(
            r#"Signature algorithm="{ALGORITHM}",headers="{}",keyId="{}",signature="{}",version="{VERSION}""#,
            headers.join(" "),
            self.key_id,
            STANDARD.encode(&self.signature)
        );
        HeaderValue::try_from(text).map_err(|_| Error::KeyIdSyntax)
    }
}

#[derive(Default)]
struct Parameters<'a> {
    version: Option<&'a str>,
    key_id: Option<&'a str>,
    algorithm: Option<&'a str>,
    headers: Option<&'a str>,
    signature: Option<&'a str>,
}

impl<'a> Parameters<'a> {
    /// Reads `name="value"` separated by commas, in any order. No value of these has a quote or needs an
    /// escape. Unknown parameters are left out, as HTTP has it (RFC 9110, 11.2).
    fn parse(text: &'a str) -> Result<Self, Error> {
        let mut parameters = Self::default();
        let mut rest = text;
        loop {
            let (name, quoted) = rest.split_once("=\"").ok_or(Error::AuthorizationSyntax)?;
            let (value, after) = quoted.split_once('"').ok_or(Error::AuthorizationSyntax)?;
            let is_name =
                name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
            if name.is_empty() || !is_name {
                return Err(Error::AuthorizationSyntax);
            }
            parameters.set(name, value)?;
            let after = after.trim_start();
            if after.is_empty() {
                return Ok(parameters);
            }
            rest = after.strip_prefix(',').ok_or(Error::AuthorizationSyntax)?.trim_start();
        }
    }

    fn set(&mut self, name: &str, value: &'a str) -> Result<(), Error> {
        let (name, slot) = match name.to_ascii_lowercase().as_str() {
            "version" => ("version", &mut self.version),
            "keyid" => ("keyId", &mut self.key_id),
            "algorithm" => ("algorithm", &mut self.algorithm),
            "headers" => ("headers", &mut self.headers),
            "signature" => ("signature", &mut self.signature),
            _ => return Ok(()),
        };
        if slot.replace(value).is_some() {
            return Err(Error::RepeatedParameter(name));
        }
        Ok(())
    }
}

fn parse_lines(list: &str) -> Result<Vec<Line>, Error> {
    let mut lines = Vec::new();
    for word in list.split_ascii_whitespace() {
        if lines.len() == MAX_SIGNED_HEADERS {
            return Err(Error::TooManySignedHeaders);
        }
        let line = if word.eq_ignore_ascii_case("(request-target)") {
            Line::RequestTarget
        } else {
            let name = HeaderName::from_bytes(word.as_bytes());
            Line::Header(name.map_err(|_| Error::SignedHeaderSyntax(word.to_owned()))?)
        };
        if lines.contains(&line) {
            return Err(Error::SignedTwice(word.to_owned()));
        }
        lines.push(line);
    }
    Ok(lines)
}
