//! Listing: every page of it.

use super::super::{ObjectInfo, ObjectName, StoreError};
use super::S3Store;

/// What a list of a bucket needs.
pub(super) const LIST: &str = "s3:ListBucket";

impl S3Store {
    pub(super) async fn list_objects(&self, prefix: &str) -> Result<Vec<ObjectInfo>, StoreError> {
        if !may_begin_a_name(prefix) {
            return Ok(Vec::new());
        }
        let shown = format!("{prefix}*");
        let mut found = Vec::new();
        let mut token: Option<String> = None;
        loop {
            let page = self.ask(|client| {
                client
                    .list_objects_v2()
                    .bucket(&self.place().bucket)
                    .prefix(format!("{}{prefix}", self.place().prefix))
                    .set_continuation_token(token.clone())
                    .send()
            });
            let page = page.await?.map_err(self.failed(LIST, &shown))?;
            for object in page.contents() {
                // What is no object of ours is left alone.
                let name = object.key().and_then(|key| self.place().name(key));
                let Some(name) = name.filter(|name| name.as_str().starts_with(prefix)) else {
                    continue;
                };
                let bytes = u64::try_from(object.size().unwrap_or(0)).unwrap_or(0);
                found.push(ObjectInfo { name, bytes });
            }
            let next = page.next_continuation_token().map(str::to_owned);
            if page.is_truncated() != Some(true) {
                break;
            }
            if next.is_none() || next == token {
                return Err(self.endless(&shown));
            }
            token = next;
        }
        // Services order by other rules too, and a page may repeat the end of the one before.
        found.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        found.dedup_by(|a, b| a.name == b.name);
        Ok(found)
    }

    /// A list that says it goes on, and does not say where.
    pub(super) fn endless(&self, shown: &str) -> StoreError {
        self.io(shown, std::io::Error::other("the service's list does not go on where it says"))
    }
}

/// Whether any object's name can begin so. Some services tidy paths up, so others are not asked for.
pub(super) fn may_begin_a_name(prefix: &str) -> bool {
    let folder = prefix.rsplit_once('/').map_or("", |(folder, _)| folder);
    !prefix.starts_with('/') && (folder.is_empty() || folder.parse::<ObjectName>().is_ok())
}
