//! What sealing needs, for as many threads as seal at one time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::runtime::Handle;

use super::segment_sink::SealingTools;
use crate::base::ids::VaultId;
use crate::ops::backup::pack_stream::{PackList, PackStream};
use crate::store::Store;
use crate::vault::OpsError;

/// Tools for as many threads as seal at one time; each takes them for a while.
pub struct ToolPool {
    runtime: Handle,
    store: Arc<dyn Store>,
    vault: VaultId,
    packs: PackList,
    idle: Mutex<Vec<SealingTools>>,
    is_stopped: AtomicBool,
}

impl ToolPool {
    /// A pool whose packs go to `store` and are listed in `packs`.
    #[must_use]
    pub fn new(runtime: Handle, store: Arc<dyn Store>, vault: VaultId, packs: PackList) -> Self {
        let (idle, is_stopped) = (Mutex::default(), AtomicBool::new(false));
        Self { runtime, store, vault, packs, idle, is_stopped }
    }

    /// Does some work with tools of its own.
    pub fn with<T>(
        &self,
        work: impl FnOnce(&mut SealingTools) -> Result<T, OpsError>,
    ) -> Result<T, OpsError> {
        if self.is_stopped.load(Ordering::Relaxed) {
            return Err(OpsError::CutShort);
        }
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut tools = if let Some(tools) = idle {
            tools
        } else {
            let (runtime, store) = (self.runtime.clone(), Arc::clone(&self.store));
            let packs = self.packs.clone();
            SealingTools::new(PackStream::new(runtime, store, self.vault, packs))?
        };
        match work(&mut tools) {
            Ok(_) if self.is_stopped.load(Ordering::Relaxed) => Err(OpsError::CutShort),
            Ok(done) => {
                self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(tools);
                Ok(done)
            }
            // The work stopped because the store did: the store knows why.
            Err(OpsError::StoreStopped) => {
                tools.packs.close()?;
                Err(OpsError::StoreStopped)
            }
            Err(error) => Err(error),
        }
    }

    /// Nothing more is sealed, and packs that are open are never finished.
    pub fn stop(&self) {
        self.is_stopped.store(true, Ordering::Relaxed);
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Closes all packs, side by side, and waits until they are durable. From a thread that may block.
    pub fn close(&self) -> Result<(), OpsError> {
        let idle = std::mem::take(&mut *self.idle.lock().unwrap_or_else(PoisonError::into_inner));
        let close = |mut tools: SealingTools| tools.packs.close();
        std::thread::scope(|scope| {
            let closing: Vec<_> =
                idle.into_iter().map(|tools| scope.spawn(move || close(tools))).collect();
            closing
                .into_iter()
                .try_for_each(|one| one.join().unwrap_or(Err(OpsError::THREAD_ENDED)))
        })
    }
}

/// Stops the sealing when whoever waits for it is gone. Where all packs are closed, nothing is left to stop.
pub struct StopWhenDropped(pub Arc<ToolPool>);

impl Drop for StopWhenDropped {
    fn drop(&mut self) {
        self.0.stop();
    }
}
