//! The names of all objects, shard by shard.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use rustix::fs::Dir;

use super::{blocking, syscalls};
use crate::{Error, LIST_PAGE, ObjectId};

/// Where a listing is: the shard being read, and those that were not begun.
struct Listing {
    root: Arc<OwnedFd>,
    open: Option<Dir>,
    shards: std::ops::RangeInclusive<u8>,
}

pub(super) fn list(root: Arc<OwnedFd>) -> BoxStream<'static, Result<Vec<ObjectId>, Error>> {
    let listing = Listing { root, open: None, shards: 0..=u8::MAX };
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
                    Some(number) => {
                        syscalls::open_names(&self.root, &format!("{number:02x}")).map_err(failed)?
                    }
                    None => return Ok(None),
                },
            };
            let names = syscalls::read_names(&mut shard, LIST_PAGE).map_err(failed)?;
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
