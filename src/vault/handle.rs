//! A vault as a command holds it: where its parts are, and what opens without a key.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::OpsError;
use super::settings::{Environment, VaultPlaces};
use super::stores::Stores;
use crate::audit::Who;
use crate::base::clock::Clock;
use crate::base::ids::VaultId;
use crate::catalog::{Catalog, WriterLock};
use crate::keys::KeyError;
use crate::keys::custodians::Custodian;
use crate::keys::custodians::settings::CustodianSettings;
use crate::store::Tell;

/// The catalog, used by several threads one at a time.
pub type SharedCatalog = Arc<Mutex<Catalog>>;

/// A vault whose catalog is open. It holds no key: those of a command are the command's.
pub struct Vault {
    places: VaultPlaces,
    environment: Environment,
    id: VaultId,
    catalog: SharedCatalog,
    stores: Stores,
    custodians: Vec<Box<dyn Custodian>>,
    pub(super) clock_was_checked: AtomicBool,
}

/// The right to write to a vault, as long as it lives. There is one for a vault at a time, whichever
/// processes and tasks ask for it: what writes is handed this value.
pub struct Writing(#[expect(dead_code, reason = "held, not used")] WriterLock);

/// The right to write, whoever it was taken for.
pub(crate) enum Held<'a> {
    Given(&'a Writing),
    Taken(Writing),
}

impl std::ops::Deref for Held<'_> {
    type Target = Writing;

    fn deref(&self) -> &Writing {
        match self {
            Self::Given(writing) => writing,
            Self::Taken(writing) => writing,
        }
    }
}

impl Vault {
    /// Opens the catalog. Needs no keys.
    pub fn open(places: VaultPlaces, environment: Environment) -> Result<Self, OpsError> {
        let catalog = Catalog::open(&places.catalog)?;
        let id = crate::catalog::vault::read(catalog.connection())?.vault_id;
        let custodians =
            places.custodians.iter().map(CustodianSettings::open).collect::<Result<_, _>>()?;
        let catalog = Arc::new(Mutex::new(catalog));
        let warn = Arc::clone(&environment.warn);
        let stores = Stores::new(&places.stores, Arc::clone(&catalog), id, warn);
        let clock_was_checked = AtomicBool::new(false);
        Ok(Self { places, environment, id, catalog, stores, custodians, clock_was_checked })
    }

    /// The vault's id.
    #[must_use]
    pub fn id(&self) -> VaultId {
        self.id
    }

    /// Where its parts are.
    #[must_use]
    pub fn places(&self) -> &VaultPlaces {
        &self.places
    }

    /// The catalog.
    pub fn catalog(&self) -> MutexGuard<'_, Catalog> {
        self.catalog.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The catalog, for threads of work.
    #[must_use]
    pub fn shared_catalog(&self) -> SharedCatalog {
        Arc::clone(&self.catalog)
    }

    /// The stores.
    #[must_use]
    pub fn stores(&self) -> &Stores {
        &self.stores
    }

    /// A custodian by its name in the configuration.
    pub fn custodian(&self, name: &str) -> Result<&dyn Custodian, KeyError> {
        self.custodians().find(|custodian| custodian.name() == name).ok_or_else(|| {
            KeyError::Unreachable {
                custodian: name.to_owned(),
                reason: "the configuration has no custodian of that name".to_owned(),
            }
        })
    }

    /// All custodians of the configuration.
    pub fn custodians(&self) -> impl Iterator<Item = &dyn Custodian> {
        self.custodians.iter().map(|custodian| &**custodian)
    }

    /// Tells the user something that does not end the command.
    pub fn warn(&self, sentence: &str) {
        (self.environment.warn)(sentence);
    }

    /// Tells the user something that does not end the command, and that somebody must look at.
    pub fn alert(&self, sentence: &str) {
        (self.environment.alert)(sentence);
    }

    /// Who tells the user, for what works on beside the vault.
    #[must_use]
    pub fn teller(&self) -> Tell {
        Arc::clone(&self.environment.warn)
    }

    /// Tells the moment.
    #[must_use]
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.environment.clock
    }

    /// Who gave the command.
    #[must_use]
    pub fn who(&self) -> &Who {
        &self.environment.who
    }

    /// The right to write that a command has, or else one that is taken.
    pub(crate) fn writing_or_taken<'a>(
        &self,
        writing: Option<&'a Writing>,
        command: &str,
    ) -> Result<Held<'a>, OpsError> {
        match writing {
            Some(writing) => Ok(Held::Given(writing)),
            None => Ok(Held::Taken(self.lock_for_writing(command)?)),
        }
    }

    /// The right to write, for as long as the value lives. `command` is shown to the one who comes
    /// second.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`](super::ErrorKind::Busy) while any process or task has it, this one too.
    pub fn lock_for_writing(&self, command: &str) -> Result<Writing, OpsError> {
        Ok(Writing(WriterLock::acquire(&self.places.catalog, command, self.clock().now())?))
    }
}
