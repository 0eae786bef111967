//! A small HTTP client, and the few requests that make up a push.
//!
//! One connection a request, no retries, no redirects: a test sees exactly what the server answered.

use std::net::SocketAddr;

use ::http::{HeaderMap, Method, Request, Response, StatusCode, header};
use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Body;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::net::TcpStream;

/// Media type of an image manifest (image spec, "Image Manifest").
pub const IMAGE_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// Media type of an image index (image spec, "Image Index").
pub const IMAGE_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Media type of an image's configuration.
pub const IMAGE_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// Media type of a layer.
pub const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// Where requests go, and the credentials they show.
#[derive(Debug, Clone)]
pub struct Client {
    address: SocketAddr,
    authorization: Option<String>,
    is_doubled: bool,
}

impl Client {
    /// A client without credentials.
    #[must_use]
    pub fn new(address: SocketAddr) -> Self {
        Self { address, authorization: None, is_doubled: false }
    }

    /// The same with a user name and a password.
    #[must_use]
    pub fn basic(&self, name: &str, password: &str) -> Self {
        let credentials = STANDARD.encode(format!("{name}:{password}"));
        self.authorized(format!("Basic {credentials}"))
    }

    /// The same with a registry token.
    #[must_use]
    pub fn bearer(&self, token: &str) -> Self {
        self.authorized(format!("Bearer {token}"))
    }

    /// The same with its `Authorization` header sent twice.
    #[must_use]
    pub fn authorized_twice(&self) -> Self {
        Self { is_doubled: true, ..self.clone() }
    }

    /// The same for a server that moved to another address.
    #[must_use]
    pub fn at(&self, address: SocketAddr) -> Self {
        Self { address, ..self.clone() }
    }

    /// Where requests go.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The value of the `Authorization` header.
    #[must_use]
    pub fn authorization(&self) -> Option<&str> {
        self.authorization.as_deref()
    }

    /// The same with that value as its `Authorization` header, be it ever so wrong.
    #[must_use]
    pub fn authorized(&self, value: impl Into<String>) -> Self {
        Self { authorization: Some(value.into()), ..self.clone() }
    }

    /// Sends one request and reads the answer to its end.
    ///
    /// # Errors
    /// If there is no connection, or it ends before the answer does.
    pub async fn send(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<Response<Bytes>> {
        self.stream(method, target, headers, Full::new(body.into())).await
    }

    /// As [`Client::send`], with a body that is made while it is sent.
    ///
    /// # Errors
    /// If there is no connection, or it ends before the answer does.
    pub async fn stream<B>(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: B,
    ) -> Result<Response<Bytes>>
    where
        B: Body<Error: std::error::Error + Send + Sync> + Send + 'static,
        B::Data: Send,
    {
        let mut request = Request::builder()
            .method(method.parse::<Method>()?)
            .uri(target)
            .header(header::HOST, self.address.to_string());
        if let Some(authorization) = &self.authorization {
            for _ in 0..=usize::from(self.is_doubled) {
                request = request.header(header::AUTHORIZATION, authorization);
            }
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let exchange = async {
            let response = sender.send_request(request.body(body)?).await?;
            let (parts, body) = response.into_parts();
            let body = body.collect().await?.to_bytes();
            anyhow::Ok(Response::from_parts(parts, body))
        };
        tokio::pin!(connection, exchange);
        let mut is_open = true;
        loop {
            tokio::select! {
                // The answer may be whole although the connection broke: the server need not read a
                // body that it refuses.
                biased;
                answer = &mut exchange => {
                    return answer.with_context(|| format!("{method} {target}"));
                }
                _ = &mut connection, if is_open => is_open = false,
            }
        }
    }

    /// GET.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn get(&self, target: &str) -> Result<Response<Bytes>> {
        self.send("GET", target, &[], Bytes::new()).await
    }

    /// HEAD.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn head(&self, target: &str) -> Result<Response<Bytes>> {
        self.send("HEAD", target, &[], Bytes::new()).await
    }

    /// DELETE.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn delete(&self, target: &str) -> Result<Response<Bytes>> {
        self.send("DELETE", target, &[], Bytes::new()).await
    }

    /// A registry token for these scopes, such as `repository:ns/app:pull`.
    ///
    /// # Errors
    /// If the token endpoint answers anything but 200.
    pub async fn token(&self, scopes: &[&str]) -> Result<String> {
        let query: String = scopes.iter().map(|scope| format!("&scope={scope}")).collect();
        let target = format!("/20180419/docker/token?service=wharfinger{query}");
        let answer = expect(self.get(&target).await?, StatusCode::OK)?;
        let body: Value = serde_json::from_slice(answer.body())?;
        let token = body.get("token").and_then(Value::as_str);
        Ok(token.context("the answer has no token")?.to_owned())
    }

    /// Starts an upload and gives its Location.
    ///
    /// # Errors
    /// If the answer is not 202 with a Location.
    pub async fn start_upload(&self, image: &str) -> Result<String> {
        let target = format!("/v2/{image}/blobs/uploads/");
        let answer = self.send("POST", &target, &[], Bytes::new()).await?;
        let answer = expect(answer, StatusCode::ACCEPTED)?;
        Ok(text(answer.headers(), "location").to_owned())
    }

    /// Pushes a blob with POST, PATCH and PUT, and gives its digest.
    ///
    /// # Errors
    /// If any answer is a refusal.
    pub async fn push_blob(&self, image: &str, blob: &Bytes) -> Result<String> {
        let location = self.start_upload(image).await?;
        let digest = digest(blob);
        let appended = self.send("PATCH", &location, &[], blob.clone()).await?;
        expect(appended, StatusCode::ACCEPTED)?;
        let closing = format!("{location}?digest={digest}");
        let closed = self.send("PUT", &closing, &[], Bytes::new()).await?;
        expect(closed, StatusCode::CREATED)?;
        Ok(digest)
    }

    /// Puts a manifest under a tag or a digest, and gives its digest.
    ///
    /// # Errors
    /// If the answer is not 201.
    pub async fn put_manifest(
        &self,
        image: &str,
        reference: &str,
        media_type: &str,
        manifest: &Bytes,
    ) -> Result<String> {
        let target = format!("/v2/{image}/manifests/{reference}");
        let headers = [("content-type", media_type)];
        let answer = self.send("PUT", &target, &headers, manifest.clone()).await?;
        expect(answer, StatusCode::CREATED)?;
        Ok(digest(manifest))
    }

    /// Pushes an image of one layer under a tag, and gives its manifest.
    ///
    /// # Errors
    /// If any answer is a refusal.
    pub async fn push_image(&self, image: &str, tag: &str, layer: &Bytes) -> Result<Bytes> {
        let config = Bytes::from_static(b"{}");
        self.push_blob(image, &config).await?;
        self.push_blob(image, layer).await?;
        let manifest = image_manifest(&config, &[layer]);
        self.put_manifest(image, tag, IMAGE_MANIFEST, &manifest).await?;
        Ok(manifest)
    }
}

/// An answer that is not the one expected, unlike an exchange that broke.
#[derive(Debug)]
pub struct Refused {
    /// Its status.
    pub status: StatusCode,
    shown: String,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.shown)
    }
}

impl std::error::Error for Refused {}

/// The answer if it has that status.
///
/// # Errors
/// [`Refused`], which shows the answer, if the status is another.
pub fn expect(answer: Response<Bytes>, status: StatusCode) -> Result<Response<Bytes>> {
    if answer.status() == status {
        return Ok(answer);
    }
    let shown = format!(
        "expected {status}, got {} {:?} {}",
        answer.status(),
        answer.headers(),
        String::from_utf8_lossy(answer.body())
    );
    Err(Refused { status: answer.status(), shown }.into())
}

/// A header's value; empty if it is missing.
#[must_use]
pub fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
}

/// `sha256:…` of the bytes, by a library that is not the product's code.
#[must_use]
pub fn digest(bytes: &[u8]) -> String {
    name_digest(Sha256::new_with_prefix(bytes))
}

/// `sha256:…` of what a hasher took in.
#[must_use]
pub fn name_digest(hasher: Sha256) -> String {
    let hex: String = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// A descriptor (image spec, "Content Descriptors") of the bytes.
#[must_use]
pub fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    json!({ "mediaType": media_type, "digest": digest(bytes), "size": bytes.len() })
}

/// An image manifest with this configuration and these layers.
#[must_use]
pub fn image_manifest(config: &[u8], layers: &[&Bytes]) -> Bytes {
    let layers: Vec<Value> = layers.iter().map(|layer| descriptor(LAYER, layer)).collect();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": IMAGE_MANIFEST,
        "config": descriptor(IMAGE_CONFIG, config),
        "layers": layers,
    });
    Bytes::from(manifest.to_string())
}

/// A source of numbers that repeats with its seed (SplitMix64).
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// From a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`.
    ///
    /// # Panics
    /// If `end` is 0.
    pub fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end).expect("a length fits u64");
        usize::try_from(self.roll() % end).expect("it is below a usize")
    }

    /// That many bytes.
    #[must_use]
    pub fn bytes(&mut self, length: usize) -> Bytes {
        let mut bytes = Vec::with_capacity(length + 8);
        while bytes.len() < length {
            bytes.extend_from_slice(&self.roll().to_le_bytes());
        }
        bytes.truncate(length);
        Bytes::from(bytes)
    }
}
