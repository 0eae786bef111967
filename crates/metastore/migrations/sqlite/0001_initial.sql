-- Times are microseconds since the epoch. OCIDs are the names that leave the database; ids never do.

CREATE TABLE tenancy (
    id INTEGER PRIMARY KEY,
    ocid TEXT NOT NULL UNIQUE,
    namespace TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL UNIQUE,
    region TEXT NOT NULL,
    region_key TEXT NOT NULL,
    create_on_first_push INTEGER NOT NULL,
    -- Whether its deny statements count; once on, for good.
    has_deny_statements INTEGER NOT NULL,
    -- Changes with everything that decisions are compiled from.
    rights_version INTEGER NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE compartment (
    id INTEGER PRIMARY KEY,
    ocid TEXT NOT NULL UNIQUE,
    tenancy_id INTEGER NOT NULL REFERENCES tenancy (id) ON DELETE RESTRICT,
    parent_id INTEGER REFERENCES compartment (id) ON DELETE RESTRICT,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    -- Of this and every other column `tags`: a JSON object, `{}` if there is none (iam/src/tags.rs).
    tags TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    -- Counts the changes, for if-match.
    revision INTEGER NOT NULL,
    deleted_at INTEGER
) STRICT;
-- A tenancy has one root, and names are unique below a parent.
CREATE UNIQUE INDEX compartment_root ON compartment (tenancy_id) WHERE parent_id IS NULL;
CREATE UNIQUE INDEX compartment_name ON compartment (parent_id, name);
CREATE INDEX compartment_by_tenancy ON compartment (tenancy_id, id);

CREATE TABLE policy (
    id INTEGER PRIMARY KEY,
    ocid TEXT NOT NULL UNIQUE,
    tenancy_id INTEGER NOT NULL REFERENCES tenancy (id) ON DELETE RESTRICT,
    compartment_id INTEGER NOT NULL REFERENCES compartment (id) ON DELETE RESTRICT,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    -- A JSON list of texts.
    statements TEXT NOT NULL,
    version_date TEXT,
    -- Made by the system, not to be changed.
    is_default INTEGER NOT NULL,
    tags TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    UNIQUE (tenancy_id, name)
) STRICT;
CREATE INDEX policy_by_compartment ON policy (compartment_id, name);

CREATE TABLE network_source (
    id INTEGER PRIMARY KEY,
    ocid TEXT NOT NULL UNIQUE,
    tenancy_id INTEGER NOT NULL REFERENCES tenancy (id) ON DELETE RESTRICT,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    -- A JSON list of addresses and CIDRs.
    public_sources TEXT NOT NULL,
    tags TEXT NOT NULL,
    revision INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    UNIQUE (tenancy_id, name)
) STRICT;

-- Names are taken in any case of letters. A retired one stays on the resources that have it.
CREATE TABLE tag_namespace (
    id INTEGER PRIMARY KEY,
    ocid TEXT NOT NULL UNIQUE,
    tenancy_id INTEGER NOT NULL REFERENCES tenancy (id) ON DELETE RESTRICT,
    compartment_id INTEGER NOT NULL REFERENCES compartment (id) ON DELETE RESTRICT,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    is_retired INTEGER NOT NULL,
    tags TEXT NOT NULL,
    revision INTEGER NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX tag_namespace_name ON tag_namespace (tenancy_id, lower(name));
CREATE INDEX tag_namespace_by_compartment ON tag_namespace (compartment_id);

CREATE TABLE tag_definition (
    id INTEGER PRIMARY KEY,
    ocid TEXT NOT NULL UNIQUE,
    namespace_id INTEGER NOT NULL REFERENCES tag_namespace (id) ON DELETE RESTRICT,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    is_retired INTEGER NOT NULL,
    is_cost_tracking INTEGER NOT NULL,
    -- A JSON list of the values that may be set; none is any.
    allowed_values TEXT,
    tags TEXT NOT NULL,
    revision INTEGER NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX tag_definition_name ON tag_definition (namespace_id, lower(name));

-- How the deletion of a compartment or a tag went; compartment and resource are OCIDs.
CREATE TABLE work_request (
    id INTEGER PRIMARY KEY,
    ocid TEXT NOT NULL UNIQUE,
    tenancy_id INTEGER NOT NULL REFERENCES tenancy (id) ON DELETE RESTRICT,
    compartment TEXT NOT NULL,
    resource TEXT NOT NULL,
    failure TEXT,
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX work_request_by_compartment ON work_request (compartment, ocid);

CREATE TABLE identity_domain (
    id INTEGER PRIMARY KEY,
    ocid TEXT NOT NULL UNIQUE,
    tenancy_id INTEGER NOT NULL REFERENCES tenancy (id) ON DELETE RESTRICT,
    name TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    UNIQUE (tenancy_id, name)
) STRICT;

-- Capabilities are a sum of the bits in iam/src/capabilities.rs; the revision counts changes, for if-match.
CREATE TABLE user_account (
    id INTEGER PRIMARY KEY,
    ocid TEXT NOT NULL UNIQUE,
    tenancy_id INTEGER NOT NULL REFERENCES tenancy (id) ON DELETE RESTRICT,
    domain_id INTEGER NOT NULL REFERENCES identity_domain (id) ON DELETE RESTRICT,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    email TEXT,
    is_active INTEGER NOT NULL,
    capabilities INTEGER NOT NULL,
    tags TEXT NOT NULL,
    revision INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    UNIQUE (domain_id, name)
) STRICT;
CREATE INDEX user_account_by_name ON user_account (tenancy_id, name, ocid);
CREATE INDEX user_account_by_age ON user_account (tenancy_id, created_at, ocid);

CREATE TABLE user_group (
    id INTEGER PRIMARY KEY,
    ocid TEXT NOT NULL UNIQUE,
    tenancy_id INTEGER NOT NULL REFERENCES tenancy (id) ON DELETE RESTRICT,
    domain_id INTEGER NOT NULL REFERENCES identity_domain (id) ON DELETE RESTRICT,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    is_administrators INTEGER NOT NULL,
    tags TEXT NOT NULL,
    revision INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    UNIQUE (domain_id, name)
) STRICT;
CREATE INDEX user_group_by_name ON user_group (tenancy_id, name, ocid);
CREATE INDEX user_group_by_age ON user_group (tenancy_id, created_at, ocid);
CREATE UNIQUE INDEX user_group_administrators ON user_group (tenancy_id) WHERE is_administrators;

CREATE TABLE membership (
    ocid TEXT NOT NULL UNIQUE,
    group_id INTEGER NOT NULL REFERENCES user_group (id) ON DELETE RESTRICT,
    user_id INTEGER NOT NULL REFERENCES user_account (id) ON DELETE RESTRICT,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (user_id, group_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX membership_by_group ON membership (group_id, ocid);

-- The hash is SHA-256 of a random secret; the secret itself is shown once and never stored.
CREATE TABLE auth_token (
    id INTEGER PRIMARY KEY,
    ocid TEXT NOT NULL UNIQUE,
    user_id INTEGER NOT NULL REFERENCES user_account (id) ON DELETE RESTRICT,
    description TEXT NOT NULL,
    hash BLOB NOT NULL,
    revision INTEGER NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX auth_token_by_user ON auth_token (user_id);

-- Public keys whose private halves sign requests.
CREATE TABLE api_key (
    id INTEGER PRIMARY KEY,
    ocid TEXT NOT NULL UNIQUE,
    user_id INTEGER NOT NULL REFERENCES user_account (id) ON DELETE RESTRICT,
    fingerprint TEXT NOT NULL,
    pem TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    UNIQUE (user_id, fingerprint)
) STRICT;

-- A signature of a write is accepted once. The hash is SHA-256 of the signature.
CREATE TABLE accepted_signature (
    hash BLOB PRIMARY KEY,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX accepted_signature_by_expiry ON accepted_signature (expires_at);

-- What a create with a retry token made, so that the same request again makes nothing more.
CREATE TABLE retry_token (
    principal TEXT NOT NULL,
    token TEXT NOT NULL,
    operation TEXT NOT NULL,
    request_hash BLOB NOT NULL,
    made TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (principal, token, operation)
) STRICT, WITHOUT ROWID;
CREATE INDEX retry_token_by_expiry ON retry_token (expires_at);

CREATE TABLE token_key (
    kid TEXT PRIMARY KEY,
    secret BLOB NOT NULL,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX token_key_by_age ON token_key (created_at);

CREATE TABLE repository (
    id INTEGER PRIMARY KEY,
    ocid TEXT NOT NULL UNIQUE,
    tenancy_id INTEGER NOT NULL REFERENCES tenancy (id) ON DELETE RESTRICT,
    compartment_id INTEGER NOT NULL REFERENCES compartment (id) ON DELETE RESTRICT,
    name TEXT NOT NULL,
    is_public INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    deleted_at INTEGER,
    -- When the collection of a deleted one began: no restore from then on.
    purged_at INTEGER
) STRICT;
-- A deleted repository frees its name at once.
CREATE UNIQUE INDEX repository_live_name ON repository (tenancy_id, name) WHERE deleted_at IS NULL;
CREATE INDEX repository_public_name ON repository (tenancy_id, name) WHERE deleted_at IS NULL AND is_public;
CREATE INDEX repository_by_compartment ON repository (compartment_id, name);
CREATE INDEX repository_deleted_name ON repository (tenancy_id, name, deleted_at) WHERE deleted_at IS NOT NULL;
CREATE INDEX repository_deleted ON repository (deleted_at, id) WHERE deleted_at IS NOT NULL;

-- Which object holds the bytes of a digest. Object ids are never used again.
CREATE TABLE blob (
    id INTEGER PRIMARY KEY,
    digest TEXT NOT NULL UNIQUE,
    object TEXT NOT NULL UNIQUE,
    size_bytes INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    -- Since when its object is known to be lost or damaged: nobody reads it, and a push replaces the object.
    damaged_at INTEGER
) STRICT;

-- Objects that no row names any more, to be removed once nobody reads them. An object is always named by an
-- upload, a blob or a row of this table, but for the remains of a crash.
CREATE TABLE dead_object (
    object TEXT PRIMARY KEY,
    size_bytes INTEGER NOT NULL,
    dead_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX dead_object_by_age ON dead_object (dead_at, object);

-- A repository reads a blob through its own link only.
CREATE TABLE link (
    repository_id INTEGER NOT NULL REFERENCES repository (id) ON DELETE RESTRICT,
    blob_id INTEGER NOT NULL REFERENCES blob (id) ON DELETE RESTRICT,
    renewed_at INTEGER NOT NULL,
    hidden_at INTEGER,
    PRIMARY KEY (repository_id, blob_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX link_by_blob ON link (blob_id);

CREATE TABLE upload (
    id INTEGER PRIMARY KEY,
    uuid TEXT NOT NULL UNIQUE,
    repository_id INTEGER NOT NULL REFERENCES repository (id) ON DELETE RESTRICT,
    object TEXT NOT NULL UNIQUE,
    offset_bytes INTEGER NOT NULL,
    algorithm TEXT NOT NULL,
    hash_state BLOB NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX upload_by_repository ON upload (repository_id);
CREATE INDEX upload_by_age ON upload (created_at, id);

CREATE TABLE manifest (
    id INTEGER PRIMARY KEY,
    repository_id INTEGER NOT NULL REFERENCES repository (id) ON DELETE RESTRICT,
    digest TEXT NOT NULL,
    media_type TEXT NOT NULL,
    artifact_type TEXT,
    subject TEXT,
    size_bytes INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    hidden_at INTEGER,
    UNIQUE (repository_id, digest)
) STRICT;

CREATE INDEX manifest_by_subject ON manifest (repository_id, subject, id) WHERE subject IS NOT NULL;
CREATE INDEX manifest_hidden ON manifest (hidden_at, id) WHERE hidden_at IS NOT NULL;
CREATE INDEX manifest_hidden_digest ON manifest (repository_id, digest) WHERE hidden_at IS NOT NULL;

-- Exact bytes, apart from the row that look-ups read.
CREATE TABLE manifest_body (
    manifest_id INTEGER PRIMARY KEY REFERENCES manifest (id) ON DELETE RESTRICT,
    body BLOB NOT NULL
) STRICT;

CREATE TABLE manifest_blob (
    manifest_id INTEGER NOT NULL REFERENCES manifest (id) ON DELETE RESTRICT,
    repository_id INTEGER NOT NULL,
    blob_id INTEGER NOT NULL,
    PRIMARY KEY (manifest_id, blob_id),
    FOREIGN KEY (repository_id, blob_id) REFERENCES link (repository_id, blob_id) ON DELETE RESTRICT
) STRICT, WITHOUT ROWID;
CREATE INDEX manifest_blob_by_link ON manifest_blob (repository_id, blob_id);

CREATE TABLE manifest_child (
    manifest_id INTEGER NOT NULL REFERENCES manifest (id) ON DELETE RESTRICT,
    child_id INTEGER NOT NULL REFERENCES manifest (id) ON DELETE RESTRICT,
    PRIMARY KEY (manifest_id, child_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX manifest_child_by_child ON manifest_child (child_id);

CREATE TABLE tag (
    repository_id INTEGER NOT NULL REFERENCES repository (id) ON DELETE RESTRICT,
    name TEXT NOT NULL,
    manifest_id INTEGER NOT NULL REFERENCES manifest (id) ON DELETE RESTRICT,
    created_by TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (repository_id, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX tag_by_manifest ON tag (manifest_id);

CREATE TABLE audit_record (
    id INTEGER PRIMARY KEY,
    tenancy_id INTEGER NOT NULL REFERENCES tenancy (id) ON DELETE RESTRICT,
    recorded_at INTEGER NOT NULL,
    operation TEXT NOT NULL,
    record TEXT NOT NULL
) STRICT;
CREATE INDEX audit_record_by_tenancy ON audit_record (tenancy_id, id);

-- How far the scrub came and what it found, as JSON: one row.
CREATE TABLE scrub (
    id INTEGER PRIMARY KEY,
    state TEXT NOT NULL
) STRICT;
