//! Paths of the Distribution API: what is read from one follows the grammar, stands in it as it is, and is read
//! again from its canonical form.
#![no_main]

use http::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use wharfinger_api_distribution::Route;
use wharfinger_fuzz::{is_digest, is_image_name};
use wharfinger_iam::Cap;
use wharfinger_types::{ImageName, Reference};

libfuzzer_sys::fuzz_target!(|path: &str| {
    let Ok(route) = Route::parse(path) else {
        return;
    };
    assert!(path == "/v2" || path.starts_with("/v2/"));
    let canonical = canonical(&route);
    assert_eq!(Route::parse(&canonical).as_ref().ok(), Some(&route), "{canonical}");

    if let Some(image) = image(&route) {
        let name = image.to_string();
        assert!(is_image_name(&name), "{name}");
        // Nothing in front of the last part is decoded.
        assert!(path.contains(&format!("/{name}/")), "{name}");
        check_scopes(&route, &name);
    }
    match &route {
        Route::Manifest(_, Reference::Tag(tag)) => {
            let tag = tag.as_str();
            assert!((1..=128).contains(&tag.len()) && !tag.starts_with(['.', '-']), "{tag}");
            assert!(tag.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte)), "{tag}");
        }
        Route::Manifest(_, Reference::Digest(digest))
        | Route::Blob(_, digest)
        | Route::Referrers(_, digest) => assert!(is_digest(digest.as_str()), "{digest}"),
        Route::Upload(_, uuid) => assert!(!uuid.is_empty()),
        Route::Base | Route::Catalog | Route::Extensions(_) | Route::Tags(_) | Route::Uploads(_) => {}
    }
});

fn canonical(route: &Route) -> String {
    match route {
        Route::Base => "/v2/".to_owned(),
        Route::Catalog => "/v2/_catalog".to_owned(),
        Route::Extensions(None) => "/v2/_oci/ext/discover".to_owned(),
        Route::Extensions(Some(image)) => format!("/v2/{image}/_oci/ext/discover"),
        Route::Tags(image) => format!("/v2/{image}/tags/list"),
        Route::Manifest(image, reference) => format!("/v2/{image}/manifests/{reference}"),
        Route::Blob(image, digest) => format!("/v2/{image}/blobs/{digest}"),
        Route::Referrers(image, digest) => format!("/v2/{image}/referrers/{digest}"),
        Route::Uploads(image) => format!("/v2/{image}/blobs/uploads/"),
        Route::Upload(image, uuid) => {
            format!("/v2/{image}/blobs/uploads/{}", utf8_percent_encode(uuid, NON_ALPHANUMERIC))
        }
    }
}

fn image(route: &Route) -> Option<&ImageName> {
    match route {
        Route::Base | Route::Catalog | Route::Extensions(None) => None,
        Route::Extensions(Some(image))
        | Route::Tags(image)
        | Route::Manifest(image, _)
        | Route::Blob(image, _)
        | Route::Referrers(image, _)
        | Route::Uploads(image)
        | Route::Upload(image, _) => Some(image),
    }
}

/// A token for the scope that the challenge names does for the request, and for no other repository.
fn check_scopes(route: &Route, name: &str) {
    for method in [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
        if !route.methods().split(", ").any(|allowed| allowed == method.as_str()) {
            continue;
        }
        assert!(route.operation(&method).is_some());
        let action = match (route, &method) {
            (Route::Uploads(_) | Route::Upload(..), _) | (_, &Method::PUT) => "push",
            (_, &Method::DELETE) => "delete",
            _ => "pull",
        };
        let scope = route.scope(&method).unwrap_or_default();
        let cap = Cap::from_scopes([scope.as_str()].into_iter());
        assert!(cap.covers("repository", name, action), "{scope}");
        assert!(!cap.covers("repository", &format!("{name}x"), action), "{scope}");
        assert!(!cap.covers("registry", "catalog", "*"), "{scope}");
    }
}
