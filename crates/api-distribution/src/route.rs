//! Paths of the Distribution API, read from the right: names hold slashes, the words behind them are fixed.

use http::Method;
use percent_encoding::percent_decode_str;
use wharfinger_types::{Digest, ImageName, ParseDigestError, ParseNameError, Reference};

use crate::error::Failure;

/// Every operation of the Distribution API, by the word that services, audit records and metrics use.
/// One that is not listed is not served, so that tests which try each of them can't miss it.
pub const OPERATIONS: &[&str] = &[
    "get_base",
    "list_catalog",
    "list_extensions",
    "list_tags",
    "list_referrers",
    "get_manifest",
    "stat_manifest",
    "put_manifest",
    "delete_tag",
    "delete_manifest",
    "open_blob",
    "stat_blob",
    "delete_blob",
    "start_upload",
    "get_upload",
    "append_upload",
    "finish_upload",
    "cancel_upload",
    "issue_registry_token",
];

/// What a path names.
#[derive(Debug, PartialEq, Eq)]
pub enum Route {
    /// `/v2/`
    Base,
    /// `/v2/_catalog`
    Catalog,
    /// `/v2/_oci/ext/discover`, `/v2/<name>/_oci/ext/discover`
    Extensions(Option<ImageName>),
    /// `/v2/<name>/tags/list`
    Tags(ImageName),
    /// `/v2/<name>/manifests/<reference>`
    Manifest(ImageName, Reference),
    /// `/v2/<name>/blobs/<digest>`
    Blob(ImageName, Digest),
    /// `/v2/<name>/referrers/<digest>`
    Referrers(ImageName, Digest),
    /// `/v2/<name>/blobs/uploads/`
    Uploads(ImageName),
    /// `/v2/<name>/blobs/uploads/<uuid>`
    Upload(ImageName, String),
}

impl Route {
    /// What a request's path, still percent-encoded, names. The error is the answer to such a request.
    pub fn parse(path: &str) -> Result<Route, Failure> {
        let path = path.strip_prefix("/v2").ok_or_else(Failure::no_such_route)?;
        if path.is_empty() || path == "/" {
            return Ok(Route::Base);
        }
        let path = path.strip_prefix('/').ok_or_else(Failure::no_such_route)?;
        if path == "_catalog" {
            return Ok(Route::Catalog);
        }
        if path == "_oci/ext/discover" {
            return Ok(Route::Extensions(None));
        }
        // Only the last part may be percent-encoded: some clients write the colon of a digest so.
        let (front, last) = path.rsplit_once('/').ok_or_else(Failure::no_such_route)?;
        let last = percent_decode_str(last).decode_utf8().map_err(|_| Failure::no_such_route())?;
        if let Some(name) = front.strip_suffix("/blobs/uploads") {
            let image = image(name)?;
            return Ok(if last.is_empty() {
                Route::Uploads(image)
            } else {
                Route::Upload(image, last.into_owned())
            });
        }
        if let Some(name) = front.strip_suffix("/blobs") {
            if last == "uploads" {
                return Ok(Route::Uploads(image(name)?));
            }
            return Ok(Route::Blob(
                image(name)?,
                last.parse().map_err(|error: ParseDigestError| Failure::digest(&error))?,
            ));
        }
        if let Some(name) = front.strip_suffix("/referrers") {
            let digest = last.parse().map_err(|error: ParseDigestError| Failure::digest(&error))?;
            return Ok(Route::Referrers(image(name)?, digest));
        }
        if let Some(name) = front.strip_suffix("/manifests") {
            return Ok(Route::Manifest(
                image(name)?,
                last.parse().map_err(|error: ParseNameError| Failure::name(&error))?,
            ));
        }
        if let Some(name) = front.strip_suffix("/tags")
            && last == "list"
        {
            return Ok(Route::Tags(image(name)?));
        }
        if let Some(name) = front.strip_suffix("/_oci/ext")
            && last == "discover"
        {
            return Ok(Route::Extensions(Some(image(name)?)));
        }
        Err(Failure::no_such_route())
    }

    /// The methods it answers.
    pub fn methods(&self) -> &'static str {
        match self {
            Route::Base => "GET, HEAD",
            Route::Catalog | Route::Extensions(_) | Route::Tags(_) | Route::Referrers(..) => "GET",
            Route::Manifest(..) => "GET, HEAD, PUT, DELETE",
            Route::Blob(..) => "GET, HEAD, DELETE",
            Route::Uploads(_) => "POST",
            Route::Upload(..) => "GET, PATCH, PUT, DELETE",
        }
    }

    /// The scope that a token for the request must be asked for.
    pub fn scope(&self, method: &Method) -> Option<String> {
        let (image, actions) = match self {
            Route::Base | Route::Extensions(None) => return None,
            Route::Catalog => return Some("registry:catalog:*".to_owned()),
            Route::Uploads(image) | Route::Upload(image, _) => (image, "pull,push"),
            Route::Extensions(Some(image))
            | Route::Tags(image)
            | Route::Manifest(image, _)
            | Route::Blob(image, _)
            | Route::Referrers(image, _) => {
                let actions = match *method {
                    Method::GET | Method::HEAD => "pull",
                    Method::DELETE => "delete",
                    _ => "pull,push",
                };
                (image, actions)
            }
        };
        Some(format!("repository:{image}:{actions}"))
    }

    /// The operation's name, one of [`OPERATIONS`]; `None` if the path does not know the method.
    pub fn operation(&self, method: &Method) -> Option<&'static str> {
        let name = match (self, method) {
            (Route::Base, &Method::GET | &Method::HEAD) => "get_base",
            (Route::Catalog, &Method::GET) => "list_catalog",
            (Route::Extensions(_), &Method::GET) => "list_extensions",
            (Route::Tags(_), &Method::GET) => "list_tags",
            (Route::Referrers(..), &Method::GET) => "list_referrers",
            (Route::Manifest(..), &Method::GET) => "get_manifest",
            (Route::Manifest(..), &Method::HEAD) => "stat_manifest",
            (Route::Manifest(..), &Method::PUT) => "put_manifest",
            (Route::Manifest(_, Reference::Tag(_)), &Method::DELETE) => "delete_tag",
            (Route::Manifest(..), &Method::DELETE) => "delete_manifest",
            (Route::Blob(..), &Method::GET) => "open_blob",
            (Route::Blob(..), &Method::HEAD) => "stat_blob",
            (Route::Blob(..), &Method::DELETE) => "delete_blob",
            (Route::Uploads(_), &Method::POST) => "start_upload",
            (Route::Upload(..), &Method::GET) => "get_upload",
            (Route::Upload(..), &Method::PATCH) => "append_upload",
            (Route::Upload(..), &Method::PUT) => "finish_upload",
            (Route::Upload(..), &Method::DELETE) => "cancel_upload",
            _ => return None,
        };
        OPERATIONS.contains(&name).then_some(name)
    }
}

/// What Oracle Cloud calls an operation in conditions of policies.
pub(crate) fn in_oracle_cloud(operation: &str) -> Option<&'static str> {
    Some(match operation {
        "list_catalog" => "ListDockerRepositories",
        "list_tags" | "list_referrers" => "ReadDockerRepositoryMetadata",
        "get_manifest" | "stat_manifest" => "ReadDockerRepositoryManifest",
        "put_manifest" => "UploadDockerImage",
        "delete_manifest" => "DeleteDockerImage",
        "delete_tag" => "RemoveDockerTag",
        "open_blob" | "stat_blob" => "PullDockerLayer",
        "delete_blob" => "DeleteDockerLayer",
        "start_upload" | "get_upload" | "append_upload" | "finish_upload" | "cancel_upload" => {
            "UploadDockerLayer"
        }
        _ => return None,
    })
}

fn image(name: &str) -> Result<ImageName, Failure> {
    name.parse().map_err(|error: ParseNameError| Failure::name(&error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(path: &str) -> Route {
        Route::parse(path).unwrap()
    }

    #[test]
    fn paths_are_read_from_the_right() {
        let image: ImageName = "ns/blobs/uploads".parse().unwrap();
        let hex = "0".repeat(64);
        let digest: Digest = format!("sha256:{hex}").parse().unwrap();
        assert_eq!(parse("/v2"), Route::Base);
        assert_eq!(parse("/v2/"), Route::Base);
        assert_eq!(parse("/v2/_catalog"), Route::Catalog);
        assert_eq!(parse("/v2/_oci/ext/discover"), Route::Extensions(None));
        assert_eq!(parse("/v2/ns/blobs/uploads/_oci/ext/discover"), Route::Extensions(Some(image.clone())));
        assert_eq!(parse("/v2/ns/blobs/uploads/blobs/uploads/"), Route::Uploads(image.clone()));
        assert_eq!(parse("/v2/ns/blobs/uploads/blobs/uploads"), Route::Uploads(image.clone()));
        assert_eq!(parse("/v2/ns/blobs/uploads/blobs/uploads/x"), Route::Upload(image.clone(), "x".into()));
        assert_eq!(parse("/v2/ns/blobs/uploads/tags/list"), Route::Tags(image.clone()));
        assert_eq!(parse(&format!("/v2/ns/blobs/uploads/blobs/sha256%3A{hex}")), Route::Blob(image, digest));
    }

    #[test]
    fn what_is_no_route_or_no_name_is_refused() {
        for path in [
            "/v2/x",
            "/v2_catalog",
            "/v2ns/app/tags/list",
            "ns/app/tags/list",
            "/v2/ns/tags/list",
            "/v2/ns/app/tags/other",
            "/v2/ns/APP/tags/list",
            "/v2/ns/a/../b/tags/list",
        ] {
            assert!(Route::parse(path).is_err(), "{path}");
        }
        assert!(Route::parse("/v2/ns/app/manifests/sha256:baddigeststring").is_err());
        assert!(Route::parse("/v2/ns/app%2fx/tags/list").is_err());
    }

    proptest! {
        #[test]
        fn any_path_parses_or_fails_without_panic(path in "/v2/[ -~]{0,80}") {
            let _ = Route::parse(&path);
        }
    }
}
