//! What our answers and the reference registry's may differ in, and why ours is right.

use super::answer::Difference;

/// One difference: one field of the answers to one kind of request.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Intended {
    /// `OPERATION/CASE`; `*` stands for any text, here and in the values.
    pub(crate) request: &'static str,
    /// `status`, `header NAME`, `body` or `body PATH`.
    pub(crate) field: &'static str,
    /// What the peer says; `-` if its answer lacks the field.
    pub(crate) peer: &'static str,
    /// What we say.
    pub(crate) ours: &'static str,
    /// The line of a specification that allows or asks for ours.
    pub(crate) why: &'static str,
}

const fn entry(
    request: &'static str,
    field: &'static str,
    peer: &'static str,
    ours: &'static str,
    why: &'static str,
) -> Intended {
    Intended { request, field, peer, ours, why }
}

#[rustfmt::skip]
pub(crate) static LIST: &[Intended] = &[
    // Every answer.
    entry("*", "header x-request-id", "-", "<id>", "docs: the log has the cause under this id"),
    entry("*", "header x-content-type-options", "-", "nosniff", "WHATWG Fetch, 3.6"),
    entry("*", "header content-type", "application/json; charset=utf-8", "application/json", "RFC 8259, 11: JSON has no charset parameter"),
    entry("*", "header content-type", "text/plain; charset=utf-8", "application/json", "client quirk Q34: clients read errors only as JSON"),
    entry("*", "body", "404 page not found", "-", "client quirk Q34"),
    entry("*", "body", "Method not allowed", "-", "client quirk Q34"),
    entry("*", "body errors[0].message", "-", "<text>", "client quirk Q34"),
    entry("*", "body errors[0].detail", "*", "null", "Distribution spec, Error Codes: detail is optional"),
    entry("*", "body errors[0].detail", "-", "null", "Distribution spec, Error Codes: detail is optional"),
    entry("*", "header location", "/v2/*/blobs/uploads/<uuid>?<state>", "/v2/*/blobs/uploads/<uuid>", "interfaces.md, Answers: no query string"),
    entry("*_blob/*", "header cache-control", "max-age=31536000", "-", "design.md, 4: rights are decided at each request"),

    // Names and references that are none.
    entry("*/name *", "status", "404", "400", "Distribution spec, Error Codes, code-8"),
    entry("*/name *", "status", "301", "400", "Distribution spec, Pulling manifests: no <name> has empty or dot parts"),
    entry("*/name *", "body errors[0].code", "-", "NAME_INVALID", "Distribution spec, Error Codes, code-8"),
    entry("*/name `a%2Fb`", "body errors[0].code", "*_UNKNOWN", "NAME_INVALID", "RFC 3986, 2.2: %2F is no separator"),
    entry("start_upload/name `a%2Fb`", "status", "202", "400", "RFC 3986, 2.2: %2F is no separator"),
    entry("any/name too long", "status", "500", "400", "Distribution spec, Error Codes, code-8"),
    entry("any/name too long", "body errors[0].code", "UNKNOWN", "NAME_INVALID", "Distribution spec, Error Codes, code-8"),
    entry("*bad digest", "status", "404", "400", "Distribution spec, Error Codes, code-4"),
    entry("*bad digest", "status", "500", "400", "Distribution spec, Error Codes, code-4"),
    entry("*bad digest", "body errors[0].code", "-", "DIGEST_INVALID", "Distribution spec, Error Codes, code-4"),
    entry("*bad digest", "body errors[0].code", "UNKNOWN", "DIGEST_INVALID", "Distribution spec, Error Codes, code-4"),
    entry("*bad tag", "status", "404", "400", "Distribution spec, Legacy Docker support error codes"),
    entry("*bad tag", "body errors[0].code", "-", "TAG_INVALID", "Distribution spec, Legacy Docker support error codes"),
    entry("*unknown repository", "body errors[0].code", "*_UNKNOWN", "NAME_UNKNOWN", "Distribution spec, Error Codes, code-9"),

    // Paths and methods that are none.
    entry("get_base/* /v2", "status", "301", "200", "client quirk Q35"),
    entry("no route/*", "status", "301", "404", "Distribution spec, Endpoints: no such path"),
    entry("no route/*", "body errors[0].code", "-", "UNSUPPORTED", "Distribution spec, Error Codes, code-13"),
    entry("no route/blobs/", "status", "404", "400", "Distribution spec, Error Codes, code-4"),
    entry("no route/blobs/", "body errors[0].code", "-", "DIGEST_INVALID", "Distribution spec, Error Codes, code-4"),
    entry("no route/manifests/", "status", "404", "400", "Distribution spec, Legacy Docker support error codes"),
    entry("no route/manifests/", "body errors[0].code", "-", "TAG_INVALID", "Distribution spec, Legacy Docker support error codes"),
    entry("no route//v1/_ping", "header opc-request-id", "-", "*", "client quirk Q29: any 404 does; this is the control plane's"),
    entry("no route//v1/_ping", "body code", "-", "NotFound", "client quirk Q29: any 404 does; this is the control plane's"),
    entry("no route//v1/_ping", "body message", "-", "*", "client quirk Q29: any 404 does; this is the control plane's"),
    entry("no route//v1/_ping", "header x-content-type-options", "nosniff", "-", "client quirk Q29: any 404 does"),
    entry("no route//v1/_ping", "header docker-distribution-api-version", "registry/2.0", "-", "client quirk Q29: any 404 does"),
    entry("wrong method/*", "body errors[0].code", "-", "UNSUPPORTED", "Distribution spec, Error Codes, code-13"),
    entry("wrong method/*", "status", "200", "405", "RFC 9110, 9.3.7: OPTIONS is optional"),
    entry("wrong method/start_upload", "status", "404", "405", "RFC 9110, 15.5.6: the path is there, and names no upload"),
    entry("wrong method/start_upload", "body errors[0].code", "BLOB_UPLOAD_UNKNOWN", "UNSUPPORTED", "Distribution spec, Error Codes, code-13"),
    entry("wrong method/start_upload", "header allow", "-", "POST", "RFC 9110, 15.5.6"),
    entry("wrong method/start_upload", "header allow", "DELETE, GET, HEAD, PATCH, POST, PUT", "POST", "RFC 9110, 10.2.1"),

    // Uploads.
    entry("start_upload/single", "status", "202", "201", "Distribution spec, Single POST"),
    entry("start_upload/single", "header location", "/v2/*/blobs/uploads/<uuid>?<state>", "/v2/*/blobs/sha256:*", "Distribution spec, Single POST"),
    entry("start_upload/single", "header docker-content-digest", "-", "sha256:*", "Distribution spec, Legacy Docker support HTTP headers"),
    entry("start_upload/single", "header docker-upload-uuid", "<uuid>", "-", "Distribution spec, Single POST: there is no session"),
    entry("start_upload/single", "header range", "0-0", "-", "Distribution spec, Single POST: there is no session"),
    entry("start_upload/single, *", "status", "202", "400", "Distribution spec, Endpoints, end-4b"),
    entry("start_upload/single, wrong digest", "body errors[0].code", "-", "DIGEST_INVALID", "Distribution spec, Error Codes, code-4"),
    entry("start_upload/mount of bad digest", "status", "202", "400", "Distribution spec, Error Codes, code-4"),
    entry("start_upload/mount from anywhere", "status", "202", "201", "Distribution spec, Mounting a blob from another repository: from is optional"),
    entry("start_upload/mount from anywhere", "header location", "/v2/*/blobs/uploads/<uuid>?<state>", "/v2/*/blobs/sha256:*", "Distribution spec, Mounting a blob from another repository"),
    entry("start_upload/mount from anywhere", "header docker-content-digest", "-", "sha256:*", "Distribution spec, Legacy Docker support HTTP headers"),
    entry("start_upload/mount from anywhere", "header docker-upload-uuid", "<uuid>", "-", "Distribution spec, Mounting a blob from another repository"),
    entry("start_upload/mount from anywhere", "header range", "0-0", "-", "Distribution spec, Mounting a blob from another repository"),
    entry("append_upload/as JSON", "status", "500", "202", "client quirk Q15"),
    entry("append_upload/as JSON", "body errors[0].code", "UNKNOWN", "-", "client quirk Q15"),
    entry("append_upload/gap", "status", "202", "416", "Distribution spec, Pushing a blob in chunks"),
    entry("append_upload/repeated", "status", "202", "416", "Distribution spec, Pushing a blob in chunks"),
    entry("append_upload/malformed range", "status", "202", "400", "Distribution spec, Pushing a blob in chunks: ^[0-9]+-[0-9]+$"),
    entry("append_upload/shorter than its range", "status", "202", "400", "Distribution spec, Error Codes, code-10"),
    entry("append_upload/gap", "body errors[0].code", "-", "RANGE_INVALID", "Distribution spec, Legacy Docker support error codes"),
    entry("append_upload/repeated", "body errors[0].code", "-", "RANGE_INVALID", "Distribution spec, Legacy Docker support error codes"),
    entry("append_upload/malformed range", "body errors[0].code", "-", "BLOB_UPLOAD_INVALID", "Distribution spec, Error Codes, code-2"),
    entry("append_upload/shorter than its range", "body errors[0].code", "-", "SIZE_INVALID", "Distribution spec, Error Codes, code-10"),
    entry("finish_upload/gap", "status", "201", "416", "Distribution spec, Pushing a blob in chunks"),
    entry("finish_upload/gap", "body errors[0].code", "-", "RANGE_INVALID", "Distribution spec, Legacy Docker support error codes"),
    entry("finish_upload/sha512", "header location", "/v2/*/blobs/sha256:*", "/v2/*/blobs/sha512:*", "Distribution spec, POST then PUT: <digest> is the one given"),
    entry("finish_upload/sha512", "header docker-content-digest", "sha256:*", "sha512:*", "Distribution spec, POST then PUT: <digest> is the one given"),
    entry("*_upload/*", "body errors[0].code", "BLOB_UPLOAD_INVALID", "BLOB_UPLOAD_UNKNOWN", "Distribution spec, Error Codes, code-3"),
    // What is wrong with the request itself is said before the session is looked for.
    entry("append_upload/*, malformed range", "status", "404", "400", "Distribution spec, Error Codes, code-2"),
    entry("append_upload/*, malformed range", "body errors[0].code", "BLOB_UPLOAD_UNKNOWN", "BLOB_UPLOAD_INVALID", "Distribution spec, Error Codes, code-2"),
    entry("finish_upload/*, * digest", "status", "404", "400", "Distribution spec, Endpoints, end-6"),
    entry("finish_upload/*, * digest", "body errors[0].code", "BLOB_UPLOAD_*", "DIGEST_INVALID", "Distribution spec, Error Codes, code-4"),
    entry("get_upload/after a refusal", "status", "204", "404", "interfaces.md, Answers: a wrong digest ends the session"),
    entry("get_upload/after a refusal", "body errors[0].code", "-", "BLOB_UPLOAD_UNKNOWN", "interfaces.md, Answers: a wrong digest ends the session"),
    entry("cancel_upload/*", "header docker-upload-uuid", "<uuid>", "-", "Distribution spec, Legacy Docker support HTTP headers: the session is gone"),

    // Blobs.
    entry("delete_blob/in use", "status", "202", "405", "interfaces.md, Answers"),
    entry("delete_blob/in use", "body errors[0].code", "-", "UNSUPPORTED", "interfaces.md, Answers"),
    entry("open_blob/range, unsatisfiable*", "status", "broken off", "416", "RFC 9110, 15.5.17"),
    entry("open_blob/range, backwards", "status", "broken off", "416", "RFC 9110, 15.5.17; the conformance suite asks for it"),
    entry("open_blob/range, *", "body errors[0].code", "-", "RANGE_INVALID", "Distribution spec, Legacy Docker support error codes"),
    entry("open_blob/range, *", "header etag", "\"sha256:*\"", "-", "RFC 9110, 8.8: a refusal is not what the tag is of"),
    entry("open_blob/range, *", "header docker-content-digest", "sha256:*", "-", "RFC 9110, 15.5.17: a refusal is not what the digest is of"),
    entry("open_blob/range, malformed", "status", "broken off", "200", "RFC 9110, 14.2: an invalid range may be ignored"),
    entry("open_blob/range, other unit", "status", "broken off", "200", "RFC 9110, 14.2: an unknown unit must be ignored"),
    entry("open_blob/range, malformed, of nothing", "status", "416", "200", "RFC 9110, 14.2: an invalid range may be ignored"),
    entry("open_blob/range, other unit, of nothing", "status", "416", "200", "RFC 9110, 14.2: an unknown unit must be ignored"),
    entry("open_blob/range, *last bytes, of nothing", "status", "206", "200", "RFC 9110, 14.2: a range may be ignored, and no Content-Range has no bytes"),
    entry("open_blob/range, no last bytes*", "status", "206", "416", "RFC 9110, 14.1.2: a suffix of no bytes cannot be satisfied"),
    entry("stat_blob/if range", "status", "206", "200", "RFC 9110, 14.2: a Range on anything but GET is ignored"),
    entry("stat_blob/range, *", "status", "206", "200", "RFC 9110, 14.2: a Range on anything but GET is ignored"),
    entry("stat_blob/range, *", "status", "416", "200", "RFC 9110, 14.2: a Range on anything but GET is ignored"),

    // Manifests.
    entry("*_manifest/* accepting *", "status", "404", "200", "client quirk Q26: what is there is served, whatever is accepted"),
    entry("*_manifest/* accepting *", "status", "400", "200", "client quirk Q26"),
    entry("get_manifest/* accepting *", "body errors[0].code", "MANIFEST_*", "-", "client quirk Q26"),
    entry("*_manifest/not there * if none match", "status", "304", "404", "RFC 9110, 13.2.1: after the normal checks"),
    entry("get_manifest/not there * if none match", "body errors[0].code", "-", "MANIFEST_UNKNOWN", "RFC 9110, 13.2.1: after the normal checks"),
    entry("*if none match", "header content-length", "<none>", "<unsent>", "RFC 9110, 8.6: that of the content may be told"),
    entry("*_manifest/* if none match", "header etag", "-", "\"sha256:*\"", "RFC 9110, 15.4.5: as in a 200"),
    entry("*_manifest/* if none match", "header docker-content-digest", "-", "sha256:*", "RFC 9110, 15.4.5: as in a 200"),
    entry("delete_tag/", "status", "400", "202", "Distribution spec, Deleting tags"),
    entry("delete_tag/", "body errors[0].code", "DIGEST_INVALID", "-", "Distribution spec, Deleting tags"),
    entry("delete_tag/not there", "status", "400", "404", "Distribution spec, Deleting tags"),
    entry("delete_tag/not there", "body errors[0].code", "DIGEST_INVALID", "MANIFEST_UNKNOWN", "Distribution spec, Error Codes, code-7"),
    entry("put_manifest/*", "body further errors", "*", "-", "Distribution spec, Error Codes: the first one names all that is missing"),
    entry("put_manifest/*subject", "header oci-subject", "-", "sha256:*", "Distribution spec, Pushing Manifests with Subject"),
    entry("put_manifest/image at bad digest", "body errors[0].code", "MANIFEST_BLOB_UNKNOWN", "DIGEST_INVALID", "Distribution spec, Error Codes, code-4"),
    entry("put_manifest/bad digest in it", "status", "500", "400", "Distribution spec, Error Codes, code-6"),
    entry("put_manifest/bad digest in it", "body errors[0].code", "*", "MANIFEST_INVALID", "Distribution spec, Error Codes, code-6"),
    entry("put_manifest/doubled field", "status", "201", "400", "RFC 8259, 4: what such an object means is up to its reader"),
    entry("put_manifest/doubled field", "body errors[0].code", "*", "MANIFEST_INVALID", "RFC 8259, 4"),
    entry("put_manifest/doubled field", "body errors[0].code", "-", "MANIFEST_INVALID", "RFC 8259, 4"),
    entry("put_manifest/wrong size", "status", "201", "400", "image spec, Descriptors: such content is not to be trusted"),
    entry("put_manifest/wrong size", "body errors[0].code", "-", "MANIFEST_INVALID", "Distribution spec, Error Codes, code-6"),
    entry("put_manifest/foreign layer", "status", "500", "201", "image spec, Non-Distributable Layers"),
    entry("put_manifest/foreign layer", "body errors[0].code", "UNKNOWN", "-", "image spec, Non-Distributable Layers"),
    entry("put_manifest/restricted layer", "status", "400", "201", "image spec, Non-Distributable Layers"),
    entry("put_manifest/restricted layer", "body errors[0].code", "MANIFEST_BLOB_UNKNOWN", "-", "image spec, Non-Distributable Layers"),
    entry("put_manifest/image as *", "status", "400", "201", "client quirk Q23"),
    entry("put_manifest/image as *", "body errors[0].code", "MANIFEST_INVALID", "-", "client quirk Q23"),
    entry("put_manifest/image as *", "body errors[0].code", "MANIFEST_INVALID", "MANIFEST_BLOB_UNKNOWN", "client quirk Q23"),
    entry("put_manifest/image without type", "status", "400", "201", "client quirk Q23"),
    entry("put_manifest/image without type", "body errors[0].code", "MANIFEST_INVALID", "-", "client quirk Q23"),
    entry("put_manifest/image without type", "body errors[0].code", "MANIFEST_INVALID", "MANIFEST_BLOB_UNKNOWN", "client quirk Q23"),
    entry("put_manifest/no config", "body errors[0].code", "DIGEST_INVALID", "MANIFEST_INVALID", "Distribution spec, Error Codes, code-6"),
    entry("put_manifest/*schema*", "status", "500", "400", "client quirk Q23"),
    entry("put_manifest/*schema*", "body errors[0].code", "UNKNOWN", "MANIFEST_INVALID", "Distribution spec, Error Codes, code-6"),

    // Lists.
    entry("list_*n=x", "status", "200", "400", "Distribution spec, Listing Tags: <integer>"),
    entry("list_*n=x", "body errors[0].code", "-", "PAGINATION_NUMBER_INVALID", "Distribution spec, Legacy Docker support error codes"),
    entry("list_*n=-1", "status", "200", "400", "Distribution spec, Listing Tags: <integer>"),
    entry("list_*n=-1", "body errors[0].code", "-", "PAGINATION_NUMBER_INVALID", "Distribution spec, Legacy Docker support error codes"),
    entry("list_tags/*", "body tags in order", "false", "true", "Distribution spec, Listing Tags"),
    entry("list_tags/*", "body tags in order", "-", "true", "Distribution spec, Listing Tags"),
    entry("list_tags/without tags*", "body tags", "null", "0: ", "Distribution spec, Listing Tags: a list"),
    entry("list_tags/without tags*", "status", "404", "200", "Distribution spec, Listing Tags: the repository exists"),
    entry("list_tags/without tags*", "body errors[0].code", "NAME_UNKNOWN", "-", "Distribution spec, Listing Tags: the repository exists"),
    entry("list_tags/without tags n=*", "status", "404", "400", "Distribution spec, Listing Tags: <integer>"),
    entry("list_tags/without tags n=*", "body errors[0].code", "NAME_UNKNOWN", "PAGINATION_NUMBER_INVALID", "Distribution spec, Legacy Docker support error codes"),
    entry("list_tags/*", "body tags", "*", "<the page>", "Distribution spec, Listing Tags"),
    entry("list_tags/n=*", "header link", "-", "</v2/*/tags/list?last=*&n=*>; rel=\"next\"", "Distribution spec, Listing Tags"),
    entry("list_referrers/", "status", "404", "200", "Distribution spec, Listing Referrers"),
];

/// The first entry that the difference matches.
pub(crate) fn find(request: &str, difference: &Difference) -> Option<&'static Intended> {
    let is = |pattern: &str, value: &Option<String>| match value {
        None => pattern == "-",
        Some(value) => pattern != "-" && matches(pattern, value),
    };
    LIST.iter().find(|entry| {
        matches(entry.request, request)
            && entry.field == difference.field
            && is(entry.peer, &difference.peer)
            && is(entry.ours, &difference.ours)
    })
}

fn matches(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(text) = text.strip_prefix(first) else {
        return false;
    };
    (0..=text.len()).filter_map(|start| text.get(start..)).any(|text| matches(rest, text))
}

/// Panics unless every entry is about one field, with one value or pattern a side, and says why.
pub(crate) fn check() {
    for entry in LIST {
        let named = ["header ", "body "].iter().find_map(|kind| entry.field.strip_prefix(kind));
        let is_field = matches!(entry.field, "status" | "body") || named.is_some_and(|name| !name.is_empty());
        assert!(is_field && !entry.field.contains('*'), "{entry:?}: not one field");
        assert_ne!(entry.peer, entry.ours, "{entry:?}: no difference");
        assert!(entry.peer != "*" || entry.ours != "*", "{entry:?}: any difference at all");
        let is_status = |value: &str| value == "broken off" || value.parse::<u16>().is_ok();
        let is_exact = is_status(entry.peer) && is_status(entry.ours);
        assert!(entry.field != "status" || (is_exact && entry.request != "*"), "{entry:?}: too wide");
        assert!(!entry.why.is_empty(), "{entry:?}: no reason");
        let is_same = |other: &&Intended| {
            (other.request, other.field) == (entry.request, entry.field)
                && (other.peer, other.ours) == (entry.peer, entry.ours)
        };
        assert_eq!(LIST.iter().filter(is_same).count(), 1, "{entry:?}: stands there twice");
    }
}
