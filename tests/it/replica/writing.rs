//! One vault, shared by two tasks of a process: only one of them writes.

use strongroom::catalog::replica::state;
use strongroom::ops::{kit, prune};
use strongroom::vault::ErrorKind;
use strongroom::vault::handle::Vault;

use super::machine::World;

fn newest(vault: &Vault) -> u64 {
    state(vault.catalog().connection()).unwrap().sequence
}

/// A runtime of its own, in a thread of its own, beside the task that has the right to write.
fn beside<T: Send>(work: impl AsyncFnOnce() -> T + Send) -> T {
    let run = || tokio::runtime::Runtime::new().unwrap().block_on(work());
    std::thread::scope(|scope| scope.spawn(run).join().unwrap())
}

#[tokio::test]
async fn of_two_tasks_that_share_a_vault_one_writes() {
    let (world, machine) = World::new().await;
    machine.sync().await.unwrap();
    let vault = &machine.vault;

    let writing = vault.lock_for_writing("backup").unwrap();
    let refused = beside(async || prune::prune(vault, false).await).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Busy, "{refused}");

    // A task that only reads leaves the replica to the one that writes: nobody writes it under a right
    // that is another's.
    let before = newest(vault);
    let print = async || {
        kit::print(vault, &world.credentials(), "text", |_| Ok(())).await.unwrap();
    };
    beside(print);
    assert_eq!(newest(vault), before, "the reader wrote the replica under the other task's right");

    drop(writing);
    beside(print);
    assert!(newest(vault) > before, "with nobody writing, the reader writes it");
}
