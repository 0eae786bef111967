//! Settings: one TOML file, environment variables over it, flags over those.
//!
//! [`KEYS`] is the one table of every key; the reference page is made from it.

use std::net::{IpAddr, SocketAddr};
use std::num::{NonZeroU32, NonZeroU64};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use ipnet::IpNet;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use toml::{Table, Value};
use wharfinger_iam::{Limits, MAX_TOKEN_LIFETIME_SECS};
use wharfinger_registry::{Ages, SparseManifests};

/// How the text of an environment variable becomes a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Bool,
    Number,
    List,
}

/// One setting.
#[derive(Debug)]
struct Key {
    name: &'static str,
    kind: Kind,
    default: &'static str,
    meaning: &'static str,
}

const fn key(name: &'static str, kind: Kind, default: &'static str, meaning: &'static str) -> Key {
    Key { name, kind, default, meaning }
}

/// Every setting, in the order of the reference page.
const KEYS: &[Key] = &[
    key(
        "server.listen",
        Kind::Text,
        "127.0.0.1:5000",
        "Address to listen on, also `--listen`. Port `0` takes a free one. `DATA/addresses.json` tells what was taken while the server runs.",
    ),
    key(
        "server.trusted_proxies",
        Kind::List,
        "",
        "Addresses and CIDRs whose `X-Forwarded-For`, `X-Forwarded-Proto` and `X-Forwarded-Host` count.",
    ),
    key(
        "server.public_url",
        Kind::Text,
        "",
        "What links and challenges say when the address that the client used can't be seen from the request.",
    ),
    key(
        "management.listen",
        Kind::Text,
        "127.0.0.1:5001",
        "Address of `/metrics`, `/healthz` and `/readyz`; empty switches it off. When the default port is taken the server warns and does without.",
    ),
    key(
        "tls.terminated_by_proxy",
        Kind::Bool,
        "false",
        "Says that a proxy in front speaks TLS. Without it the server listens on loopback addresses only.",
    ),
    key(
        "database.url",
        Kind::Text,
        "",
        "`postgres://…`; empty is SQLite in the data directory. Give it as `WHARFINGER__DATABASE__URL_FILE` to keep the password out of the environment.",
    ),
    key(
        "tenancy.namespace",
        Kind::Text,
        "random",
        "Namespace of the tenancy that is founded at the first start. Read then only.",
    ),
    key("tenancy.id", Kind::Text, "random", "OCID of that tenancy. Read at the first start only."),
    key(
        "tenancy.region",
        Kind::Text,
        "local-1",
        "Region identifier of that tenancy. Read at the first start only.",
    ),
    key("tenancy.region_key", Kind::Text, "LCL", "Region key of that tenancy. Read at the first start only."),
    key(
        "registry.create_on_first_push",
        Kind::Bool,
        "true",
        "Whether a push creates the repository it names, as a tenancy starts out.",
    ),
    key(
        "registry.allow_sparse_manifests",
        Kind::Bool,
        "false",
        "Whether an image or index may be pushed without all of its layers or entries.",
    ),
    key(
        "registry.undelete_window",
        Kind::Text,
        "48h",
        "How long a deleted image or repository can be restored.",
    ),
    key(
        "registry.unlinked_blob_age",
        Kind::Text,
        "24h",
        "How long a blob that no manifest uses stays in a repository after it was last pushed, mounted or asked for. A client must not take longer between its first blob and its manifest.",
    ),
    key(
        "registry.upload_max_age",
        Kind::Text,
        "24h",
        "How long an upload may take; what is older is ended, and its bytes are removed.",
    ),
    key(
        "gc.interval",
        Kind::Text,
        "1h",
        "Time between two runs of garbage collection. `0` is no schedule: only `wharfinger admin gc` collects then.",
    ),
    key(
        "gc.reader_grace",
        Kind::Text,
        "5m",
        "How long the bytes of a collected blob stay on disk, for those who are about to read them.",
    ),
    key(
        "scrub.interval",
        Kind::Text,
        "7d",
        "Time between the beginnings of two scrubs, which read everything that is stored. `0` is no schedule: only `wharfinger admin scrub` does then.",
    ),
    key(
        "scrub.rate",
        Kind::Text,
        "20MiB",
        "Bytes that a scheduled scrub reads in a second; `0` is as fast as it goes, and so is `wharfinger admin scrub`.",
    ),
    key(
        "tokens.lifetime",
        Kind::Text,
        "1h",
        "How long a registry token is good; at least `60s`, at most `30d`.",
    ),
    key(
        "limits.requests_per_second",
        Kind::Number,
        "0",
        "Requests that a user may make, from wherever, or an address without good credentials; beyond it the answer is 429. `0` is no limit. Each replica counts for itself.",
    ),
    key(
        "limits.failed_logins_per_minute",
        Kind::Number,
        "10",
        "Failed log-ins of one address as one user before the answers to more of them are slowed, and ten times as many of an address; a right log-in never is. `0` never slows.",
    ),
    key(
        "log.filter",
        Kind::Text,
        "info",
        "What is logged: a level, or directives such as `info,wharfinger_iam=debug`.",
    ),
];

/// The table of settings, for `serve --help` and the reference page.
pub(crate) fn reference() -> String {
    let default = |key: &Key| {
        if key.default.is_empty() { "unset".to_owned() } else { format!("`{}`", key.default) }
    };
    let rows = KEYS.iter().map(|key| format!("| `{}` | {} | {} |\n", key.name, default(key), key.meaning));
    format!("| key | default | meaning |\n|---|---|---|\n{}", rows.collect::<String>())
}

/// The settings as the program uses them.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    pub(crate) server: Server,
    pub(crate) management: Management,
    pub(crate) tls: Tls,
    pub(crate) database: Database,
    pub(crate) tenancy: Tenancy,
    pub(crate) registry: Registry,
    pub(crate) gc: Gc,
    pub(crate) scrub: Scrub,
    pub(crate) tokens: Tokens,
    pub(crate) limits: LimitSettings,
    pub(crate) log: Log,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Server {
    pub(crate) listen: Address,
    pub(crate) trusted_proxies: Vec<Network>,
    pub(crate) public_url: Option<Url>,
}

impl Default for Server {
    fn default() -> Server {
        Server {
            listen: Address(SocketAddr::from(([127, 0, 0, 1], 5000))),
            trusted_proxies: Vec::new(),
            public_url: None,
        }
    }
}

/// Where the management listener is.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Management {
    /// `None` is the default, whose port may be taken; `Some("")` is off.
    pub(crate) listen: Option<OptionalAddress>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Tls {
    pub(crate) terminated_by_proxy: bool,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Database {
    pub(crate) url: String,
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Database(***)")
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Tenancy {
    pub(crate) namespace: Option<String>,
    pub(crate) id: Option<String>,
    pub(crate) region: String,
    pub(crate) region_key: String,
}

impl Default for Tenancy {
    fn default() -> Tenancy {
        Tenancy { namespace: None, id: None, region: "local-1".into(), region_key: "LCL".into() }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Registry {
    pub(crate) create_on_first_push: bool,
    pub(crate) allow_sparse_manifests: bool,
    pub(crate) undelete_window: Seconds,
    pub(crate) unlinked_blob_age: Seconds,
    pub(crate) upload_max_age: Seconds,
}

impl Registry {
    /// The same as the registry takes it.
    pub(crate) fn sparse(&self) -> SparseManifests {
        match self.allow_sparse_manifests {
            true => SparseManifests::Allowed,
            false => SparseManifests::Refused,
        }
    }

    /// How long the registry keeps what nobody needs.
    pub(crate) fn ages(&self, gc: &Gc) -> Ages {
        Ages {
            undelete_window: self.undelete_window.0,
            unlinked_blob_age: self.unlinked_blob_age.0,
            upload_max_age: self.upload_max_age.0,
            reader_grace: gc.reader_grace.0,
        }
    }
}

impl Default for Registry {
    fn default() -> Registry {
        let ages = Ages::default();
        Registry {
            create_on_first_push: true,
            allow_sparse_manifests: false,
            undelete_window: Seconds(ages.undelete_window),
            unlinked_blob_age: Seconds(ages.unlinked_blob_age),
            upload_max_age: Seconds(ages.upload_max_age),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Gc {
    pub(crate) interval: Seconds,
    pub(crate) reader_grace: Seconds,
}

impl Gc {
    /// The time between two runs, if there is a schedule.
    pub(crate) fn interval(&self) -> Option<Duration> {
        self.interval.positive()
    }
}

impl Default for Gc {
    fn default() -> Gc {
        Gc { interval: Seconds(3600), reader_grace: Seconds(Ages::default().reader_grace) }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Scrub {
    pub(crate) interval: Seconds,
    pub(crate) rate: Bytes,
}

impl Scrub {
    /// The time between two beginnings, if there is a schedule.
    pub(crate) fn interval(&self) -> Option<Duration> {
        self.interval.positive()
    }
}

impl Default for Scrub {
    fn default() -> Scrub {
        Scrub { interval: Seconds(7 * 86_400), rate: Bytes(NonZeroU64::new(20 << 20)) }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Tokens {
    pub(crate) lifetime: Seconds,
}

impl Default for Tokens {
    fn default() -> Tokens {
        Tokens { lifetime: Seconds(3600) }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LimitSettings {
    pub(crate) requests_per_second: u32,
    pub(crate) failed_logins_per_minute: u32,
}

impl LimitSettings {
    /// The same as identity takes it.
    pub(crate) fn limits(&self) -> Limits {
        Limits {
            requests_per_second: NonZeroU32::new(self.requests_per_second),
            failed_logins_per_minute: NonZeroU32::new(self.failed_logins_per_minute),
        }
    }
}

impl Default for LimitSettings {
    fn default() -> LimitSettings {
        LimitSettings { requests_per_second: 0, failed_logins_per_minute: 10 }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Log {
    pub(crate) filter: String,
}

impl Default for Log {
    fn default() -> Log {
        Log { filter: "info".into() }
    }
}

/// A network or a single address.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Network(pub(crate) IpNet);

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let network = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        network.map(Network).map_err(|_| {
            D::Error::custom(format!("`{text}` is neither an address nor a CIDR such as `10.0.0.0/8`"))
        })
    }
}

/// An address to listen on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Address(pub(crate) SocketAddr);

impl std::str::FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text.parse().map(Address);
        parsed.map_err(|_| {
            format!("`{text}` is not an address such as `127.0.0.1:5000`, numeric and with a port")
        })
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// An address to listen on, or none.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OptionalAddress(pub(crate) Option<SocketAddr>);

impl<'de> Deserialize<'de> for OptionalAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.is_empty() {
            return Ok(OptionalAddress(None));
        }
        let address: Address = text.parse().map_err(D::Error::custom)?;
        Ok(OptionalAddress(Some(address.0)))
    }
}

/// Scheme and authority, without a path.
#[derive(Debug, Clone)]
pub(crate) struct Url(pub(crate) String);

impl<'de> Deserialize<'de> for Url {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let uri: Option<http::Uri> = text.parse().ok();
        let is_url = uri.is_some_and(|uri| {
            matches!(uri.scheme_str(), Some("http" | "https"))
                && uri.host().is_some()
                && matches!(uri.path(), "" | "/")
                && uri.query().is_none()
        });
        if !is_url {
            return Err(D::Error::custom(format!(
                "`{text}` is not a URL such as `https://registry.example.com`, without a path"
            )));
        }
        Ok(Url(text.trim_end_matches('/').to_owned()))
    }
}

/// A duration, written `90s`, `15m`, `48h` or `7d`; none at all is `0` as well.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seconds(pub(crate) i64);

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let units = [("s", 1), ("m", 60), ("h", 3600), ("d", 86400)];
        let parsed = units.iter().find_map(|(unit, factor)| {
            let number: i64 = text.strip_suffix(unit)?.parse().ok()?;
            number.checked_mul(*factor).filter(|seconds| *seconds >= 0)
        });
        let parsed = parsed.or_else(|| (text == "0").then_some(0));
        parsed.map(Seconds).ok_or_else(|| {
            D::Error::custom(format!("`{text}` is not a duration such as `90s`, `15m`, `48h` or `7d`"))
        })
    }
}

impl Seconds {
    /// The same, unless it is none.
    fn positive(self) -> Option<Duration> {
        u64::try_from(self.0).ok().filter(|seconds| *seconds > 0).map(Duration::from_secs)
    }
}

/// A number of bytes, written `512KiB`, `20MiB` or `10GiB`; `None` is `0`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bytes(pub(crate) Option<NonZeroU64>);

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let units = [("KiB", 10), ("MiB", 20), ("GiB", 30), ("TiB", 40)];
        let parsed = units.iter().find_map(|(unit, shift)| {
            let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
            number.checked_mul(1 << shift)
        });
        let parsed = parsed.or_else(|| (text == "0").then_some(0));
        parsed.map(|bytes| Bytes(NonZeroU64::new(bytes))).ok_or_else(|| {
            D::Error::custom(format!("`{text}` is not a size such as `512KiB`, `20MiB` or `10GiB`"))
        })
    }
}

const PREFIX: &str = "WHARFINGER__";

/// Reads the settings of this process.
pub(crate) fn load(file: Option<&Path>, listen: Option<&str>) -> anyhow::Result<Settings> {
    let text = match file {
        Some(file) => std::fs::read_to_string(file)
            .with_context(|| format!("cannot read the settings file {}", file.display()))?,
        None => String::new(),
    };
    // Others' variables need not be text.
    let variables = std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
    let variables = variables.filter(|(name, _)| name.starts_with(PREFIX));
    let variables = variables.map(|(name, value)| (name, value.to_string_lossy().into_owned()));
    let name = file.map_or_else(String::new, |file| file.display().to_string());
    resolve(&name, &text, variables, listen)
}

fn resolve(
    file: &str,
    text: &str,
    variables: impl Iterator<Item = (String, String)>,
    listen: Option<&str>,
) -> anyhow::Result<Settings> {
    // The first reading is for its errors, which name the line.
    toml::from_str::<Settings>(text).with_context(|| format!("the settings file {file} is not valid"))?;
    let mut table: Table = toml::from_str(text)?;
    for (variable, value) in variables {
        let (name, value) = match variable.strip_suffix("_FILE") {
            Some(name) => {
                let read = std::fs::read_to_string(&value);
                let read =
                    read.with_context(|| format!("cannot read the file that {variable} names, `{value}`"))?;
                (name, read.trim_end().to_owned())
            }
            None => (variable.as_str(), value),
        };
        let path = name.trim_start_matches(PREFIX).to_ascii_lowercase().replace("__", ".");
        let Some(key) = KEYS.iter().find(|key| key.name == path) else {
            bail!("the environment variable {variable} is no setting: there is no key `{path}`");
        };
        let mut alone = Table::new();
        set(&mut alone, key, &value);
        Settings::deserialize(alone)
            .with_context(|| format!("the environment variable {variable} is not valid"))?;
        set(&mut table, key, &value);
    }
    let mut settings = Settings::deserialize(table)?;
    if let Some(listen) = listen {
        let address: Result<Address, String> = listen.parse();
        settings.server.listen = address.map_err(anyhow::Error::msg).context("--listen is not valid")?;
    }
    check(&settings)?;
    Ok(settings)
}

fn set(table: &mut Table, key: &Key, text: &str) {
    let Some((section, name)) = key.name.split_once('.') else {
        return;
    };
    let value = match key.kind {
        Kind::Bool => text.parse().map_or_else(|_| Value::String(text.to_owned()), Value::Boolean),
        Kind::Number => text.parse().map_or_else(|_| Value::String(text.to_owned()), Value::Integer),
        Kind::Text => Value::String(text.to_owned()),
        Kind::List => {
            let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
            Value::Array(parts.map(|part| Value::String(part.to_owned())).collect())
        }
    };
    let section = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
    if let Value::Table(section) = section {
        section.insert(name.to_owned(), value);
    }
}

fn check(settings: &Settings) -> anyhow::Result<()> {
    let listen = settings.server.listen.0;
    if !listen.ip().is_loopback() && !settings.tls.terminated_by_proxy {
        bail!(
            "server.listen is {listen}, which other machines can reach, and would send passwords in clear text: \
             listen on a loopback address, or set tls.terminated_by_proxy = true if a proxy in front speaks TLS"
        );
    }
    if settings.tokens.lifetime.0 < 60 {
        bail!("tokens.lifetime is {}s: clients assume at least 60s", settings.tokens.lifetime.0);
    }
    if settings.tokens.lifetime.0 > MAX_TOKEN_LIFETIME_SECS {
        bail!("tokens.lifetime is {}s: at most 30d, as keys are kept no longer", settings.tokens.lifetime.0);
    }
    if let Some(namespace) = &settings.tenancy.namespace {
        namespace.parse::<wharfinger_types::Namespace>().context("tenancy.namespace is not valid")?;
    }
    if let Some(id) = &settings.tenancy.id {
        id.parse::<wharfinger_types::Ocid>().context("tenancy.id is not valid")?;
    }
    let url = &settings.database.url;
    if !url.is_empty() && !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        bail!("database.url must start with postgres://, or be empty for SQLite in the data directory");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(text: &str, variables: &[(&str, &str)]) -> anyhow::Result<Settings> {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        super::resolve("test.toml", text, variables, None)
    }

    fn refusal(text: &str, variables: &[(&str, &str)]) -> String {
        format!("{:#}", resolve(text, variables).unwrap_err())
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_line() {
        let message = refusal("[server]\nlisten = \"127.0.0.1:1\"\nlistten = 1\n", &[]);
        assert!(message.contains("line 3") && message.contains("listten"), "{message}");
        let message = refusal("", &[("WHARFINGER__SERVER__LISTTEN", "x")]);
        assert!(message.contains("WHARFINGER__SERVER__LISTTEN"), "{message}");
    }

    #[test]
    fn the_environment_overrides_the_file() {
        let settings = resolve(
            "[server]\nlisten = \"127.0.0.1:1\"\n[registry]\ncreate_on_first_push = true\n",
            &[
                ("WHARFINGER__SERVER__LISTEN", "127.0.0.1:2"),
                ("WHARFINGER__SERVER__TRUSTED_PROXIES", "10.0.0.0/8, ::1"),
                ("WHARFINGER__REGISTRY__CREATE_ON_FIRST_PUSH", "false"),
                ("WHARFINGER__TOKENS__LIFETIME", "2h"),
            ],
        )
        .unwrap();
        assert_eq!(settings.server.listen.0.port(), 2);
        assert_eq!(settings.server.trusted_proxies.len(), 2);
        assert!(!settings.registry.create_on_first_push);
        assert_eq!(settings.tokens.lifetime.0, 7200);
    }

    #[test]
    fn wrong_values_are_refused_with_name_value_and_remedy() {
        let message = refusal("", &[("WHARFINGER__TOKENS__LIFETIME", "soon")]);
        assert!(
            message.contains("LIFETIME") && message.contains("soon") && message.contains("48h"),
            "{message}"
        );
        let message = refusal("[server]\nlisten = \"0.0.0.0:5000\"\n", &[]);
        assert!(message.contains("terminated_by_proxy"), "{message}");
        assert!(refusal("[tokens]\nlifetime = \"5s\"", &[]).contains("60s"));
        assert!(refusal("[tokens]\nlifetime = \"31d\"", &[]).contains("30d"));
        let message = refusal("", &[("WHARFINGER__LIMITS__REQUESTS_PER_SECOND", "-1")]);
        assert!(message.contains("REQUESTS_PER_SECOND") && message.contains("-1"), "{message}");
        assert!(refusal("[scrub]\nrate = \"20 MB\"", &[]).contains("20MiB"));
        assert!(refusal("[tenancy]\nnamespace = \"Not One\"", &[]).contains("Not One"));
        assert!(refusal("[database]\nurl = \"mysql://x\"", &[]).contains("postgres://"));
        assert!(refusal("[server]\npublic_url = \"registry\"", &[]).contains("https://"));
    }

    #[test]
    fn every_key_of_the_table_is_a_setting_and_the_reference_page_lists_it() {
        for key in KEYS {
            let value = match key.name {
                "server.listen" | "management.listen" => "127.0.0.1:9",
                "server.public_url" => "http://localhost",
                "tenancy.id" => "ocid1.tenancy.oc1..a",
                "tenancy.namespace" => "ns",
                "tokens.lifetime" => "60s",
                "database.url" => "postgres://localhost/x",
                "scrub.rate" => "1GiB",
                _ if key.kind == Kind::Bool => "true",
                _ if key.kind == Kind::Number => "7",
                _ => "",
            };
            let variable = format!("{PREFIX}{}", key.name.replace('.', "__").to_ascii_uppercase());
            resolve("", &[(&variable, value)]).unwrap();
        }
        let page = include_str!("../../../docs/configuration.md");
        assert!(page.contains(&reference()), "docs/configuration.md must hold this table:\n{}", reference());
    }
}
