//! Repositories, uploads, blobs, manifests, tags
