//! Lists of what a tenancy has by name: sorted, filtered, a page at a time.

use std::str::FromStr;

use wharfinger_metastore::{FromRow, Statement};

use crate::fields::invalid;
use crate::{Ctx, Error};

/// The state of anything in identity, as Oracle Cloud names it. What is deleted here is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the words say it")]
pub enum LifecycleState {
    Creating,
    Active,
    Inactive,
    Deleting,
    Deleted,
}

impl LifecycleState {
    const ALL: [LifecycleState; 5] = [
        LifecycleState::Creating,
        LifecycleState::Active,
        LifecycleState::Inactive,
        LifecycleState::Deleting,
        LifecycleState::Deleted,
    ];

    /// As in requests and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            LifecycleState::Creating => "CREATING",
            LifecycleState::Active => "ACTIVE",
            LifecycleState::Inactive => "INACTIVE",
            LifecycleState::Deleting => "DELETING",
            LifecycleState::Deleted => "DELETED",
        }
    }
}

impl FromStr for LifecycleState {
    type Err = Error;

    /// In any case of letters.
    fn from_str(text: &str) -> Result<LifecycleState, Error> {
        let state = LifecycleState::ALL.into_iter().find(|state| state.as_str().eq_ignore_ascii_case(text));
        let remedy = "use CREATING, ACTIVE, INACTIVE, DELETING or DELETED";
        state.ok_or_else(|| invalid("lifecycleState", text, remedy))
    }
}

/// What a list is sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SortBy {
    /// The name, in byte order.
    Name,
    /// When it was made.
    TimeCreated,
}

/// Which way it is sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SortOrder {
    /// Smallest or oldest first.
    Ascending,
    /// Largest or newest first.
    Descending,
}

/// What is asked of a list.
#[derive(Debug, Clone)]
pub struct Listing {
    /// The most rows of a page.
    pub limit: usize,
    /// Where the page starts: [`Listed::next_page`] of the one before.
    pub page: Option<String>,
    /// The sort key.
    pub sort_by: SortBy,
    /// Its direction.
    pub sort_order: SortOrder,
    /// Only what has this name.
    pub name: Option<String>,
    /// Only what is in this state.
    pub state: Option<LifecycleState>,
}

impl Listing {
    /// The page of `limit` rows by name.
    pub fn by_name(limit: usize, page: Option<String>) -> Listing {
        let (sort_by, sort_order) = (SortBy::Name, SortOrder::Ascending);
        Listing { limit, page, sort_by, sort_order, name: None, state: None }
    }
}

/// A page of a list. It may be shorter than was asked and still have a next one.
#[derive(Debug)]
pub struct Listed<T> {
    /// The rows.
    pub rows: Vec<T>,
    /// Where the next page starts; `None` on the last.
    pub next_page: Option<String>,
}

/// A row of such a list.
pub(crate) trait Listable: FromRow {
    fn name(&self) -> &str;
    fn ocid(&self) -> &str;
    fn created_at(&self) -> i64;
    fn state(&self) -> LifecycleState;
}

/// [`Listable`] by the fields of those names; a row is active unless `$state` says otherwise.
macro_rules! listable {
    ($row:ty) => {
        crate::listing::listable!($row, |_| crate::LifecycleState::Active);
    };
    ($row:ty, $state:expr) => {
        impl crate::listing::Listable for $row {
            fn name(&self) -> &str {
                &self.name
            }
            fn ocid(&self) -> &str {
                &self.ocid
            }
            fn created_at(&self) -> i64 {
                self.created_at
            }
            fn state(&self) -> crate::LifecycleState {
                let state: fn(&$row) -> crate::LifecycleState = $state;
                state(self)
            }
        }
    };
}
pub(crate) use listable;

/// The statements of a list. Each takes the tenancy; the sorted ones then the key and OCID before the page, and
/// how many rows; `named` the name.
pub(crate) struct Sorted {
    pub(crate) name_ascending: &'static Statement,
    pub(crate) name_descending: &'static Statement,
    pub(crate) age_ascending: &'static Statement,
    pub(crate) age_descending: &'static Statement,
    pub(crate) named: &'static Statement,
}

/// Behind every name: those are ASCII without control characters.
const AFTER_NAMES: &str = "\u{7f}";

/// Reads a page. The right to list is the caller's to check.
pub(crate) async fn list<T: Listable>(
    ctx: &Ctx,
    statements: &Sorted,
    tenancy_id: i64,
    listing: &Listing,
) -> Result<Listed<T>, Error> {
    let is_wanted = |row: &T| listing.state.is_none_or(|state| state == row.state());
    if let Some(name) = &listing.name {
        let name = if name.contains('\0') { "" } else { name.as_str() };
        let mut rows: Vec<T> = ctx.store().all(statements.named, &[&tenancy_id, &name]).await?;
        rows.retain(is_wanted);
        return Ok(Listed { rows, next_page: None });
    }
    let (key, ocid) = start(listing)?;
    let one_more = i64::try_from(listing.limit.saturating_add(1)).unwrap_or(i64::MAX);
    let mut rows: Vec<T> = match (listing.sort_by, listing.sort_order) {
        (SortBy::Name, order) => {
            let statement = match order {
                SortOrder::Ascending => statements.name_ascending,
                SortOrder::Descending => statements.name_descending,
            };
            ctx.store().all(statement, &[&tenancy_id, &key, &ocid, &one_more]).await?
        }
        (SortBy::TimeCreated, order) => {
            let statement = match order {
                SortOrder::Ascending => statements.age_ascending,
                SortOrder::Descending => statements.age_descending,
            };
            let age: i64 = key.parse().map_err(|_| bad_page(&key))?;
            ctx.store().all(statement, &[&tenancy_id, &age, &ocid, &one_more]).await?
        }
    };
    let next_page = end_page(&mut rows, listing.limit, |row| match listing.sort_by {
        SortBy::Name => format!("{}:{}", row.name(), row.ocid()),
        SortBy::TimeCreated => format!("{}:{}", row.created_at(), row.ocid()),
    });
    rows.retain(is_wanted);
    Ok(Listed { rows, next_page })
}

/// A page of rows that are few enough to be had all at once. The right to list is the caller's to check.
pub(crate) fn page_of<T: Listable>(mut rows: Vec<T>, listing: &Listing) -> Result<Listed<T>, Error> {
    let is_wanted = |row: &T| {
        listing.name.as_deref().is_none_or(|name| name == row.name())
            && listing.state.is_none_or(|state| state == row.state())
    };
    rows.retain(is_wanted);
    rows.sort_by(|one, other| match listing.sort_by {
        SortBy::Name => (one.name(), one.ocid()).cmp(&(other.name(), other.ocid())),
        SortBy::TimeCreated => (one.created_at(), one.ocid()).cmp(&(other.created_at(), other.ocid())),
    });
    if listing.sort_order == SortOrder::Descending {
        rows.reverse();
    }
    if let Some(last) = &listing.page {
        let at = rows.iter().position(|row| row.ocid() == last).ok_or_else(|| bad_page(last))?;
        rows.drain(..=at);
    }
    let next_page = end_page(&mut rows, listing.limit, |row| row.ocid().to_owned());
    Ok(Listed { rows, next_page })
}

/// Cuts what was read beyond the page off; if there was anything, the last row left says where to go on.
pub(crate) fn end_page<T>(
    rows: &mut Vec<T>,
    limit: usize,
    position: impl Fn(&T) -> String,
) -> Option<String> {
    if rows.len() <= limit {
        return None;
    }
    rows.truncate(limit);
    rows.last().map(position)
}

/// Key and OCID of the row before the page.
fn start(listing: &Listing) -> Result<(String, String), Error> {
    let Some(page) = &listing.page else {
        let (key, ocid) = match (listing.sort_by, listing.sort_order) {
            (SortBy::Name, SortOrder::Ascending) => (String::new(), ""),
            (SortBy::Name, SortOrder::Descending) => (AFTER_NAMES.to_owned(), ""),
            (SortBy::TimeCreated, SortOrder::Ascending) => (i64::MIN.to_string(), ""),
            (SortBy::TimeCreated, SortOrder::Descending) => (i64::MAX.to_string(), ""),
        };
        return Ok((key, ocid.to_owned()));
    };
    let (key, ocid) = page.split_once(':').ok_or_else(|| bad_page(page))?;
    check_page(page)?;
    Ok((key.to_owned(), ocid.to_owned()))
}

/// Refuses what can be no position in a list.
pub(crate) fn check_page(page: &str) -> Result<(), Error> {
    if page.len() > 512 || page.contains('\0') { Err(bad_page(page)) } else { Ok(()) }
}

fn bad_page(page: &str) -> Error {
    invalid("page", page, "use the `opc-next-page` header of the answer before, with the same sorting")
}
