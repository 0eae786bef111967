//! The first start on an empty database.

use serde::Serialize;
use wharfinger_audit::Subject;
use wharfinger_httpsig::PrivateKey;
use wharfinger_metastore::{Tx, operations, statements};
use wharfinger_types::{Namespace, Ocid, ResourceKind};

use crate::tags::NO_TAGS;
use crate::users::{ADMINISTRATOR, ADMINISTRATORS};
use crate::{
    Capabilities, Error, Iam, Request, Secret, api_keys, auth_tokens, groups, memberships, registry_tokens,
    secret, tenancies, users,
};

statements! {
    /// Whether anything was founded yet.
    TENANCY_COUNT = "SELECT COUNT(*) AS n FROM tenancy";
}

operations! {
    /// Founds the first tenancy.
    BOOTSTRAP = bootstrap { Durable, Serializable, audited };
}

/// What settings may say of the tenancy that is founded at the first start.
#[derive(Debug, Clone)]
pub struct FoundingSettings {
    /// Namespace; random if not given.
    pub namespace: Option<Namespace>,
    /// OCID of the tenancy; random if not given.
    pub tenancy_id: Option<Ocid>,
    /// Region identifier.
    pub region: String,
    /// Three letters for the region.
    pub region_key: String,
    /// Whether a push may create the repository it names.
    pub create_on_first_push: bool,
}

/// What the administrator of a new tenancy needs to know. The token is shown here and never again.
#[derive(Debug, Clone, Serialize)]
pub struct Founding {
    /// First component of its image names.
    pub namespace: String,
    /// OCID of the tenancy.
    pub tenancy_id: String,
    /// Region identifier.
    pub region: String,
    /// The administrator's name, without namespace.
    pub username: String,
    /// The administrator's OCID.
    pub user_id: String,
    /// The administrator's auth token.
    pub auth_token: Secret,
    /// Fingerprint of the administrator's API signing key.
    pub fingerprint: String,
    /// The private half of that key in PEM. Whoever shows a founding says where it is.
    #[serde(skip)]
    pub private_key: Secret,
}

/// Everything that a founding writes, random values included, so that the body may run again.
#[derive(Debug, Clone)]
pub(crate) struct FoundingSpec {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) tenancy_ocid: String,
    pub(crate) region: String,
    pub(crate) region_key: String,
    pub(crate) create_on_first_push: bool,
    pub(crate) domain_ocid: String,
    pub(crate) policy_ocid: String,
    pub(crate) group_ocid: String,
    pub(crate) user_ocid: String,
    pub(crate) auth_token_ocid: String,
    pub(crate) auth_token_hash: Vec<u8>,
    pub(crate) auth_token: Secret,
    pub(crate) membership_ocid: String,
    pub(crate) api_key: NewApiKey,
}

/// The administrator's signing key.
#[derive(Debug, Clone)]
pub(crate) struct NewApiKey {
    ocid: String,
    fingerprint: String,
    public_pem: String,
    private_pem: Secret,
}

impl NewApiKey {
    pub(crate) fn new() -> Result<NewApiKey, Error> {
        let key = PrivateKey::generate().map_err(Error::Key)?;
        Ok(NewApiKey {
            ocid: secret::new_ocid(ResourceKind::ApiKey)?.to_string(),
            fingerprint: key.public_key().fingerprint().to_string(),
            public_pem: key.public_key().to_pem().map_err(Error::Key)?,
            private_pem: Secret::new(key.to_pem().map_err(Error::Key)?),
        })
    }
}

impl FoundingSpec {
    pub(crate) fn founding(&self) -> Founding {
        Founding {
            namespace: self.namespace.clone(),
            tenancy_id: self.tenancy_ocid.clone(),
            region: self.region.clone(),
            username: ADMINISTRATOR.to_owned(),
            user_id: self.user_ocid.clone(),
            auth_token: self.auth_token.clone(),
            fingerprint: self.api_key.fingerprint.clone(),
            private_key: self.api_key.private_pem.clone(),
        }
    }
}

/// Inserts the group of administrators with its first member, and that one's credentials.
pub(crate) fn found_administrators(
    tx: &mut Tx,
    spec: &FoundingSpec,
    tenancy_id: i64,
    domain_id: i64,
    now: i64,
) -> Result<(), Error> {
    let group_id: i64 = tx.one(
        &groups::GROUP_INSERT,
        &[&spec.group_ocid, &tenancy_id, &domain_id, &ADMINISTRATORS, &"", &true, &NO_TAGS, &now],
    )?;
    let (email, capabilities) = (None::<String>, Capabilities::ALL.0);
    let user_id: i64 = tx.one(
        &users::USER_INSERT,
        &[
            &spec.user_ocid,
            &tenancy_id,
            &domain_id,
            &ADMINISTRATOR,
            &"",
            &email,
            &capabilities,
            &NO_TAGS,
            &now,
        ],
    )?;
    tx.run(&memberships::MEMBERSHIP_INSERT, &[&spec.membership_ocid, &group_id, &user_id, &now])?;
    tx.run(
        &auth_tokens::AUTH_TOKEN_INSERT,
        &[&spec.auth_token_ocid, &user_id, &"made with the tenancy", &spec.auth_token_hash, &now],
    )?;
    let key = &spec.api_key;
    tx.run(&api_keys::API_KEY_INSERT, &[&key.ocid, &user_id, &key.fingerprint, &key.public_pem, &now])?;
    Ok(())
}

/// Twelve lower-case letters and digits, the shape of Oracle Cloud's own.
pub(crate) fn random_namespace() -> Result<String, Error> {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let bytes = secret::random::<12>()?;
    let letters = bytes.iter().filter_map(|byte| ALPHABET.get(usize::from(byte % 32)));
    Ok(letters.copied().map(char::from).collect())
}

impl Iam {
    /// Founds the first tenancy on an empty database, and does nothing on any other.
    ///
    /// `keep` is handed the founding before the commit and must make it durable: a crash in between
    /// leaves a file whose token does not work, never a tenancy whose token nobody knows. When
    /// another process founds at the same moment, the answer is `None` and what `keep` wrote is void.
    pub async fn bootstrap<F>(
        &self,
        request: Request,
        files: FoundingSettings,
        keep: F,
    ) -> Result<Option<Founding>, Error>
    where
        F: FnOnce(&Founding) -> Result<(), Error>,
    {
        if self.store().opt::<i64>(&TENANCY_COUNT, &[]).await?.unwrap_or(0) > 0 {
            return Ok(None);
        }
        let spec = FoundingSpec::new(
            files.namespace,
            files.tenancy_id,
            files.region,
            files.region_key,
            files.create_on_first_push,
        )?;
        let founding = spec.founding();
        keep(&founding)?;
        let key = registry_tokens::new_key()?;
        let origin = self.local_administrator(request).origin();
        let founded = self
            .store()
            .write(&BOOTSTRAP, move |tx| {
                if tx.one::<i64>(&TENANCY_COUNT, &[])? > 0 {
                    return Err(Error::NameTaken { what: "tenancy", name: "(the first)".to_owned() });
                }
                let id = tenancies::found(tx, &spec, origin.at.0)?;
                tenancies::insert_token_key(tx, &key, origin.at.0)?;
                wharfinger_audit::record(tx, id, &origin, &Subject::new(&spec.tenancy_ocid, &spec.name))?;
                Ok(())
            })
            .await;
        match founded {
            Ok(()) => Ok(Some(founding)),
            Err(Error::NameTaken { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
