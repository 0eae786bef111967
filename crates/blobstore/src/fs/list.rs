//! The names of all objects, shard by shard.

use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};

use super::{Disk, NameIter, blocking};
use crate::{Error, LIST_PAGE, ObjectId};

/// Where a listing is: the shard being read, and those that were not begun.
struct Listing {
    disk: Arc<dyn Disk>,
    open: Option<NameIter>,
    shards: std::ops::RangeInclusive<u8>,
}

pub(super) fn list(disk: Arc<dyn Disk>) -> BoxStream<'static, Result<Vec<ObjectId>, Error>> {
    let listing = Listing { disk, open: None, shards: 0..=u8::MAX };
    let next = |listing: Listing| blocking(ACTION.to_owned(), || listing.next());
    stream::try_unfold(listing, next).boxed()
}

const ACTION: &str = "list the objects";

impl Listing {
    /// A page of one shard. Names that are no ids are not ours and left alone.
    fn next(mut self) -> Result<Option<(Vec<ObjectId>, Listing)>, Error> {
        let failed = |source| Error::io(ACTION.to_owned(), source);
        loop {
            let mut shard = match self.open.take() {
                Some(shard) => shard,
                None => match self.shards.next() {
                    Some(number) => self.disk.names(&format!("{number:02x}")).map_err(failed)?,
                    None => return Ok(None),
                },
            };
            let names: Vec<String> =
                shard.by_ref().take(LIST_PAGE).collect::<Result<_, _>>().map_err(failed)?;
            if names.is_empty() {
                continue;
            }
            self.open = Some(shard);
            let ids: Vec<ObjectId> = names.iter().filter_map(|name| name.parse().ok()).collect();
            if !ids.is_empty() {
                return Ok(Some((ids, self)));
            }
        }
    }
}
