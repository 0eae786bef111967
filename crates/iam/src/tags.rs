//! Tags of resources: freeform ones, which whoever may change a resource may set, and defined ones, whose keys
//! and values are governed (`tag_namespaces.rs`, `tag_definitions.rs`).
//!
//! Both kinds are one column, `tags`, which holds [`Tags`] as JSON. A defined tag stands in it under the names
//! of its definition, and goes with it: [`take_out`] is part of the deletion's own transaction.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use wharfinger_metastore::{Statement, Tx, row, statements};
use wharfinger_types::Permission;

use crate::fields::invalid;
use crate::tag_namespaces::{self, TagNamespace};
use crate::{Ctx, Error, Protected, tag_definitions};

statements! {
    TAG_DEFINITION_ACTIVE = "SELECT id FROM tag_definition WHERE id = $1 AND NOT is_retired";
    /// Every resource of a tenancy that has tags; deleted ones too, which may come back.
    TAGGED =
        "SELECT 'compartment' AS kind, id, tags FROM compartment WHERE tenancy_id = $1 AND tags <> '{}'
         UNION ALL SELECT 'user_account', id, tags FROM user_account WHERE tenancy_id = $1 AND tags <> '{}'
         UNION ALL SELECT 'user_group', id, tags FROM user_group WHERE tenancy_id = $1 AND tags <> '{}'
         UNION ALL SELECT 'policy', id, tags FROM policy WHERE tenancy_id = $1 AND tags <> '{}'
         UNION ALL SELECT 'dynamic_group', id, tags FROM dynamic_group WHERE tenancy_id = $1 AND tags <> '{}'
         UNION ALL SELECT 'network_source', id, tags FROM network_source WHERE tenancy_id = $1 AND tags <> '{}'
         UNION ALL SELECT 'tag_namespace', id, tags FROM tag_namespace WHERE tenancy_id = $1 AND tags <> '{}'
         UNION ALL SELECT 'tag_definition', d.id, d.tags
         FROM tag_namespace n JOIN tag_definition d ON d.namespace_id = n.id
         WHERE n.tenancy_id = $1 AND d.tags <> '{}'";
    COMPARTMENT_RETAG = "UPDATE compartment SET tags = $1, revision = revision + 1 WHERE id = $2";
    USER_RETAG = "UPDATE user_account SET tags = $1, revision = revision + 1 WHERE id = $2";
    GROUP_RETAG = "UPDATE user_group SET tags = $1, revision = revision + 1 WHERE id = $2";
    POLICY_RETAG = "UPDATE policy SET tags = $1, revision = revision + 1 WHERE id = $2";
    DYNAMIC_GROUP_RETAG = "UPDATE dynamic_group SET tags = $1, revision = revision + 1 WHERE id = $2";
    NETWORK_SOURCE_RETAG = "UPDATE network_source SET tags = $1, revision = revision + 1 WHERE id = $2";
    TAG_NAMESPACE_RETAG = "UPDATE tag_namespace SET tags = $1, revision = revision + 1 WHERE id = $2";
    TAG_DEFINITION_RETAG = "UPDATE tag_definition SET tags = $1, revision = revision + 1 WHERE id = $2";
}

/// The kinds of [`TAGGED`]: every table with a column `tags`, which a test compares with the schema.
const RETAG: &[(&str, &Statement)] = &[
    ("compartment", &COMPARTMENT_RETAG),
    ("user_account", &USER_RETAG),
    ("user_group", &GROUP_RETAG),
    ("policy", &POLICY_RETAG),
    ("dynamic_group", &DYNAMIC_GROUP_RETAG),
    ("network_source", &NETWORK_SOURCE_RETAG),
    ("tag_namespace", &TAG_NAMESPACE_RETAG),
    ("tag_definition", &TAG_DEFINITION_RETAG),
];

row! {
    struct Tagged { kind: String, id: i64, tags: String }
}

/// The column of a resource without tags.
pub const NO_TAGS: &str = "{}";

const MAX_FREEFORM: usize = 10;
const MAX_DEFINED: usize = 64;
/// Of all tags of a resource, as JSON.
const MAX_BYTES: usize = 5 << 10;
/// Of a key, freeform or defined, and of a namespace.
pub(crate) const MAX_NAME: usize = 100;
pub(crate) const MAX_VALUE: usize = 256;

/// Freeform tags by their keys.
pub type FreeformTags = BTreeMap<String, String>;

/// Defined tags by namespace, then by key; a value is a text, a number or a boolean.
pub type DefinedTags = BTreeMap<String, BTreeMap<String, Value>>;

/// The tags of a resource.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tags {
    /// Those that nobody governs.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub freeform: FreeformTags,
    /// Those with a definition.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub defined: DefinedTags,
}

impl Tags {
    /// Reads the column, which nobody else writes.
    pub fn from_column(column: &str) -> Tags {
        if column == NO_TAGS { Tags::default() } else { serde_json::from_str(column).unwrap_or_default() }
    }

    fn to_column(&self) -> String {
        // Maps with text keys always serialise.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The defined tag of these names in any case of letters, under the names that it stands under.
    fn find(&self, namespace: &str, key: &str) -> Option<(&str, &str, &Value)> {
        let mut all = self.defined.iter().filter(|(name, _)| name.eq_ignore_ascii_case(namespace));
        all.find_map(|(namespace, keys)| {
            let found = keys.iter().find(|(name, _)| name.eq_ignore_ascii_case(key));
            found.map(|(key, value)| (namespace.as_str(), key.as_str(), value))
        })
    }
}

/// What conditions of policies see of a column: `<namespace>.<key>` and value of each defined tag.
pub fn conditions(column: &str) -> Vec<(String, String)> {
    let Tags { defined, .. } = Tags::from_column(column);
    let mut seen = Vec::new();
    for (namespace, keys) in &defined {
        seen.extend(keys.iter().map(|(key, value)| (format!("{namespace}.{key}"), text(value))));
    }
    seen
}

/// A value as conditions and lists of values have it.
fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// What a request says of a resource's tags. What is given replaces all of its kind; the other kind stays.
#[derive(Debug, Clone, Default)]
pub struct TagChanges {
    /// New freeform tags.
    pub freeform: Option<FreeformTags>,
    /// New defined tags.
    pub defined: Option<DefinedTags>,
}

impl TagChanges {
    /// Whether all stays as it is.
    pub fn is_empty(&self) -> bool {
        self.freeform.is_none() && self.defined.is_none()
    }

    /// Checks the change of a resource whose column is `old`, and the rights on the namespaces of all defined
    /// tags that are set, changed or removed. What comes out is [put](NewTags::put) in the write.
    pub async fn check(&self, ctx: &Ctx, tenancy_id: i64, old: &str) -> Result<NewTags, Error> {
        let mut tags = Tags::from_column(old);
        let mut used = Vec::new();
        if let Some(freeform) = &self.freeform {
            check_freeform(freeform)?;
            tags.freeform.clone_from(freeform);
        }
        if let Some(defined) = &self.defined {
            (tags.defined, used) = check_defined(ctx, tenancy_id, &tags, defined).await?;
        }
        let new = (!self.is_empty()).then(|| tags.to_column());
        if let Some(size) = new.as_ref().map(String::len).filter(|size| *size > MAX_BYTES) {
            let field = if self.defined.is_some() { "definedTags" } else { "freeformTags" };
            return Err(invalid(
                field,
                &format!("{size} bytes"),
                "use at most 5 KiB for all tags of a resource",
            ));
        }
        Ok(NewTags { old: old.to_owned(), new, used })
    }
}

/// Checked tags.
#[derive(Debug, Clone)]
pub struct NewTags {
    old: String,
    new: Option<String>,
    /// Internal ids of the definitions of new values.
    used: Vec<i64>,
}

impl NewTags {
    /// The column to be written in place of `current`, if all still is as it was when it was checked. For
    /// serializable bodies: a definition that is deleted at the same time makes one of the two run again.
    pub fn put(&self, tx: &mut Tx, current: &str) -> Result<String, Error> {
        let Some(new) = &self.new else { return Ok(current.to_owned()) };
        let mut is_as_checked = current == self.old;
        for definition in &self.used {
            is_as_checked &= tx.opt::<i64>(&TAG_DEFINITION_ACTIVE, &[definition])?.is_some();
        }
        if !is_as_checked {
            return Err(Error::Conflict(
                "the resource's tags or one of their definitions changed meanwhile: read them again"
                    .to_owned(),
            ));
        }
        Ok(new.clone())
    }
}

fn check_freeform(tags: &FreeformTags) -> Result<(), Error> {
    let field = "freeformTags";
    if tags.len() > MAX_FREEFORM {
        return Err(invalid(field, &tags.len().to_string(), "use at most 10 tags"));
    }
    for (key, value) in tags {
        let is_key_char = |c: char| !matches!(c, '.' | '\0') && !c.is_whitespace();
        if key.is_empty() || key.chars().count() > MAX_NAME || !key.chars().all(is_key_char) {
            return Err(invalid(field, key, "use keys of 1 to 100 characters without periods and spaces"));
        }
        check_value(field, value)?;
    }
    Ok(())
}

pub(crate) fn check_value(field: &'static str, value: &str) -> Result<(), Error> {
    if value.chars().count() > MAX_VALUE || value.contains('\0') {
        return Err(invalid(field, value, "use values of at most 256 characters and no NUL"));
    }
    Ok(())
}

/// The defined tags under the names of their definitions, and the ids of those of new values.
async fn check_defined(
    ctx: &Ctx,
    tenancy_id: i64,
    old: &Tags,
    wanted: &DefinedTags,
) -> Result<(DefinedTags, Vec<i64>), Error> {
    let field = "definedTags";
    let count: usize = wanted.values().map(BTreeMap::len).sum();
    if count > MAX_DEFINED {
        return Err(invalid(field, &count.to_string(), "use at most 64 tags"));
    }
    let mut new = Tags::default();
    let mut used = Vec::new();
    for (namespace_name, keys) in wanted {
        let mut namespace = None;
        for (key, value) in keys {
            let shown = format!("{namespace_name}.{key}");
            if new.find(namespace_name, key).is_some() {
                return Err(invalid(field, &shown, "name each tag once, in one case of letters"));
            }
            // What stays as it is needs no right and no definition that is in use.
            if let Some((namespace, key, value)) = old.find(namespace_name, key).filter(|old| old.2 == value)
            {
                let keys = new.defined.entry(namespace.to_owned()).or_default();
                keys.insert(key.to_owned(), value.clone());
                continue;
            }
            let namespace = match &namespace {
                Some(namespace) => namespace,
                None => namespace.insert(usable(ctx, tenancy_id, namespace_name).await?),
            };
            let definition = tag_definitions::named(ctx, namespace, key).await?;
            let Some(definition) = definition else {
                return Err(invalid(
                    field,
                    &shown,
                    "the tag namespace defines no such key: use one that it defines",
                ));
            };
            if definition.is_retired {
                return Err(invalid(field, &shown, "the tag is retired: reactivate it or leave it out"));
            }
            if !matches!(value, Value::String(_) | Value::Number(_) | Value::Bool(_)) {
                return Err(invalid(field, &shown, "use a text, a number or a boolean as value"));
            }
            let text = text(value);
            check_value(field, &text)?;
            if definition.allowed_values().is_some_and(|allowed| !allowed.contains(&text)) {
                let shown = format!("{shown} = {text}");
                return Err(invalid(field, &shown, "use one of the values that the tag's validator lists"));
            }
            let keys = new.defined.entry(namespace.name.clone()).or_default();
            keys.insert(definition.name.clone(), value.clone());
            used.push(definition.id);
        }
    }
    for (namespace, keys) in &old.defined {
        if keys.keys().any(|key| new.find(namespace, key).is_none()) {
            usable(ctx, tenancy_id, namespace).await?;
        }
    }
    Ok((new.defined, used))
}

/// A tag namespace whose tags the principal may set. To others one that is there and one that is not look alike.
async fn usable(ctx: &Ctx, tenancy_id: i64, name: &str) -> Result<TagNamespace, Error> {
    let permission = Permission::TagNamespaceUse;
    let found = tag_namespaces::named(ctx, tenancy_id, name).await?;
    let refusal = match &found {
        Some(namespace) => ctx.require(permission, &namespace.target()).err(),
        None => Some(ctx.refuse(permission)),
    };
    match (found, refusal) {
        (Some(namespace), None) => Ok(namespace),
        (_, Some(why @ Error::Denied { compartment: Some(_), .. })) => Err(not_usable(name, why.to_string())),
        _ => Err(not_usable(name, "there is no such tag namespace, or you may not use it".to_owned())),
    }
}

fn not_usable(name: &str, why: String) -> Error {
    Error::Related { field: "definedTags", value: name.chars().take(120).collect(), why }
}

/// Takes the tags of a namespace, or one of them, out of every resource of the tenancy.
pub(crate) fn take_out(
    tx: &mut Tx,
    tenancy_id: i64,
    namespace: &str,
    key: Option<&str>,
) -> Result<(), Error> {
    for Tagged { kind, id, tags } in tx.all(&TAGGED, &[&tenancy_id])? {
        let mut tags = Tags::from_column(&tags);
        let Some(keys) = tags.defined.get_mut(namespace) else { continue };
        let had = keys.len();
        keys.retain(|name, _| key.is_some_and(|key| key != name));
        if keys.len() == had {
            continue;
        }
        tags.defined.retain(|_, keys| !keys.is_empty());
        if let Some((_, retag)) = RETAG.iter().find(|(name, _)| *name == kind) {
            tx.run(retag, &[&tags.to_column(), &id])?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_column_of_tags_loses_those_that_are_deleted() {
        let schema = include_str!("../../metastore/migrations/sqlite/0001_initial.sql");
        let tables = schema.split("CREATE TABLE ").skip(1).filter_map(|table| table.split_once(" ("));
        let tagged = tables.filter(|(_, columns)| {
            let columns = columns.split(") STRICT").next().unwrap_or_default();
            columns.lines().any(|column| column.trim_start().starts_with("tags TEXT"))
        });
        let mut tagged: Vec<&str> = tagged.map(|(name, _)| name).collect();
        let mut listed: Vec<&str> = RETAG.iter().map(|(name, _)| *name).collect();
        tagged.sort_unstable();
        listed.sort_unstable();
        assert_eq!(tagged, listed, "`TAGGED` and `RETAG` name every table that has a column `tags`");
        let select = format!("{TAGGED:?}");
        for (name, retag) in RETAG {
            assert!(select.contains(&format!("SELECT '{name}'")), "{name}");
            assert!(format!("{retag:?}").contains(&format!("UPDATE {name} ")), "{name}");
        }
    }

    #[test]
    fn conditions_see_defined_tags_as_texts() {
        let column = r#"{"freeform":{"a":"b"},"defined":{"Ops":{"Count":3,"Live":true,"Stage":"prod"}}}"#;
        let expected = [("Ops.Count", "3"), ("Ops.Live", "true"), ("Ops.Stage", "prod")];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(conditions(column), expected);
        assert_eq!(Tags::from_column(column).to_column(), column);
        assert!(conditions(NO_TAGS).is_empty());
        assert_eq!(Tags::default().to_column(), NO_TAGS);
    }
}
