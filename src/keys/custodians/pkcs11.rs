//! The custodian that is a PKCS #11 token: a hardware security module, a smart card. A share is a
//! private data object on the token; destroying it is the token's own `C_DestroyObject`.
//!
//! The token's maker gives the module, a library that runs inside this process. Modules are loaded
//! once, used by one thread at a time, and stay until the process ends. A module that hangs hangs
//! the command: PKCS #11 knows no timeout.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::{env, fs};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::object::{Attribute, AttributeType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, SessionState, UserType};
use cryptoki::types::AuthPin;
use zeroize::{Zeroize as _, Zeroizing};

use super::settings::PinSource;
use super::share::Share;
use super::{Assurance, Custodian, mark, no_share};
use crate::base::durable;
use crate::base::ids::{Epoch, VaultId};
use crate::keys::KeyError;

/// Whose the objects are, in `CKA_APPLICATION`.
const APPLICATION: &[u8] = b"strongroom";

/// The modules of this process. PKCS #11 wants each initialised once, however many use it.
static MODULES: Mutex<BTreeMap<PathBuf, Pkcs11>> = Mutex::new(BTreeMap::new());

/// A token that keeps shares.
pub struct Pkcs11Custodian {
    name: String,
    module: PathBuf,
    token: String,
    pin: PinSource,
    /// Set once the token has refused the PIN: a few more tries and it would lock itself.
    pin_was_refused: AtomicBool,
}

/// A session with the user logged in, alone in this process.
struct Login<'m> {
    session: Session,
    _alone: MutexGuard<'m, BTreeMap<PathBuf, Pkcs11>>,
}

impl Pkcs11Custodian {
    /// The token with that label, reached through a module. Nothing is loaded before its first use.
    #[must_use]
    pub fn new(name: &str, module: &Path, token: &str, pin: PinSource) -> Self {
        Self {
            name: name.to_owned(),
            module: module.to_owned(),
            token: token.to_owned(),
            pin,
            pin_was_refused: AtomicBool::new(false),
        }
    }

    fn unreachable(&self, reason: impl std::fmt::Display) -> KeyError {
        KeyError::Unreachable { custodian: self.title(), reason: reason.to_string() }
    }

    fn failed(&self, what: &str, error: &Error) -> KeyError {
        // The library explains at length; its first sentence and the code's name say enough.
        let reason = match error {
            Error::Pkcs11(code, _) => format!("{code:?}"),
            other => other.to_string(),
        };
        self.unreachable(format_args!("{what} failed ({reason})"))
    }

    fn login(&self) -> Result<Login<'static>, KeyError> {
        let mut modules = MODULES.lock().unwrap_or_else(PoisonError::into_inner);
        if !modules.contains_key(&self.module) {
            modules.insert(self.module.clone(), self.load()?);
        }
        let Some(module) = modules.get(&self.module) else {
            return Err(self.unreachable("its module is not loaded"));
        };
        let slots = module
            .get_slots_with_token()
            .map_err(|error| self.failed("looking for tokens", &error))?;
        let has_label = |slot: &_| {
            module.get_token_info(*slot).is_ok_and(|info| info.label().trim_end() == self.token)
        };
        let mut found = slots.into_iter().filter(has_label);
        let slot = found.next().ok_or_else(|| self.unreachable("no such token is there"))?;
        if found.next().is_some() {
            return Err(self.unreachable("more than one token has its label"));
        }
        let session = module
            .open_rw_session(slot)
            .map_err(|error| self.failed("opening a session", &error))?;
        self.give_pin(&session)?;
        // Without a login a token hides private objects: it would look as if it held none.
        match session.get_session_info().map(|info| info.session_state()) {
            Ok(SessionState::RwUser) => Ok(Login { session, _alone: modules }),
            Ok(_) => Err(self.unreachable("the token did not take the login")),
            Err(error) => Err(self.failed("asking for the session's state", &error)),
        }
    }

    fn load(&self) -> Result<Pkcs11, KeyError> {
        let failed = |error: Error| match error {
            Error::LibraryLoading(_) => self.unreachable(format_args!(
                "{} is not a library that can be loaded",
                self.module.display()
            )),
            error => self.failed("starting its module", &error),
        };
        let module = Pkcs11::new(&self.module).map_err(failed)?;
        match module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
            Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => Ok(module),
            Err(error) => Err(failed(error)),
        }
    }

    fn give_pin(&self, session: &Session) -> Result<(), KeyError> {
        const REFUSED: &str = "the token refused the PIN";
        if self.pin_was_refused.load(Ordering::Relaxed) {
            return Err(self.unreachable(REFUSED));
        }
        match session.login(UserType::User, Some(&self.read_pin()?)) {
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(()),
            Err(Error::Pkcs11(RvError::PinIncorrect | RvError::PinLenRange, _)) => {
                self.pin_was_refused.store(true, Ordering::Relaxed);
                Err(self.unreachable(REFUSED))
            }
            Err(Error::Pkcs11(RvError::PinLocked, _)) => {
                self.pin_was_refused.store(true, Ordering::Relaxed);
                Err(self.unreachable("the token's PIN is locked"))
            }
            Err(error) => Err(self.failed("logging in", &error)),
        }
    }

    fn read_pin(&self) -> Result<AuthPin, KeyError> {
        match &self.pin {
            PinSource::Variable(name) => {
                let pin = env::var(name).ok().filter(|pin| !pin.is_empty()).ok_or_else(|| {
                    self.unreachable(format_args!(
                        "the environment variable {name} with its PIN is not set"
                    ))
                })?;
                Ok(AuthPin::from(pin))
            }
            PinSource::File(file) => {
                let text = fs::read_to_string(file).map(Zeroizing::new).map_err(|error| {
                    let file = file.display();
                    self.unreachable(format_args!("the file {file} with its PIN: {error}"))
                })?;
                let pin = text.lines().next().unwrap_or_default();
                Ok(AuthPin::from(pin.to_owned()))
            }
        }
    }
}

/// The name of an epoch's object.
fn label(vault: VaultId, epoch: Epoch) -> Vec<u8> {
    if epoch == mark::EPOCH {
        format!("{vault} custodian").into_bytes()
    } else {
        format!("{vault} epoch {epoch}").into_bytes()
    }
}

/// The epoch of an object by its name; `None` for the mark and for other vaults' objects.
fn epoch_of(label: &[u8], vault: VaultId) -> Option<Epoch> {
    let rest = std::str::from_utf8(label).ok()?.strip_prefix(&vault.to_string())?;
    rest.strip_prefix(" epoch ")?.parse().ok().map(Epoch)
}

fn template() -> Vec<Attribute> {
    vec![
        Attribute::Class(ObjectClass::DATA),
        Attribute::Token(true),
        Attribute::Application(APPLICATION.to_vec()),
    ]
}

/// What the custodian does on the token.
impl Pkcs11Custodian {
    fn find(
        &self,
        login: &Login<'_>,
        vault: VaultId,
        epoch: Epoch,
    ) -> Result<Vec<ObjectHandle>, KeyError> {
        let mut wanted = template();
        wanted.push(Attribute::Label(label(vault, epoch)));
        login.session.find_objects(&wanted).map_err(|error| self.failed("searching it", &error))
    }

    fn value_of(
        &self,
        login: &Login<'_>,
        object: ObjectHandle,
        kind: AttributeType,
    ) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let attributes = login
            .session
            .get_attributes(object, &[kind])
            .map_err(|error| self.failed("reading an object", &error))?;
        for attribute in attributes {
            if let Attribute::Value(bytes) | Attribute::Label(bytes) = attribute {
                return Ok(Zeroizing::new(bytes));
            }
        }
        Err(self.unreachable("the token does not give an object's value"))
    }

    /// What stands under an epoch. A token allows two objects of one name: they must be alike.
    fn fetch(
        &self,
        login: &Login<'_>,
        vault: VaultId,
        epoch: Epoch,
    ) -> Result<Option<Zeroizing<Vec<u8>>>, KeyError> {
        let mut found: Option<Zeroizing<Vec<u8>>> = None;
        for object in self.find(login, vault, epoch)? {
            let value = self.value_of(login, object, AttributeType::Value)?;
            if found.as_ref().is_some_and(|first| **first != *value) {
                return Err(KeyError::Damaged {
                    file: format!("epoch {epoch} in {}", self.title()),
                    reason: "two different objects have its name",
                });
            }
            found = Some(value);
        }
        Ok(found)
    }

    fn read(
        &self,
        login: &Login<'_>,
        vault: VaultId,
        epoch: Epoch,
    ) -> Result<Option<Share>, KeyError> {
        let Some(text) = self.fetch(login, vault, epoch)? else { return Ok(None) };
        let place = format!("the share of epoch {epoch} in {}", self.title());
        Share::from_text(&text, &place)?.belonging_to(vault, epoch, &place).map(Some)
    }

    fn create(
        &self,
        login: &Login<'_>,
        vault: VaultId,
        epoch: Epoch,
        text: &[u8],
    ) -> Result<(), KeyError> {
        let mut object = template();
        object.extend([
            Attribute::Private(true),
            Attribute::Modifiable(false),
            Attribute::Label(label(vault, epoch)),
            Attribute::Value(text.to_vec()),
        ]);
        let made = login.session.create_object(&object);
        for attribute in &mut object {
            if let Attribute::Value(bytes) = attribute {
                bytes.zeroize();
            }
        }
        made.map(drop).map_err(|error| self.failed("making an object", &error))
    }

    /// Holds where the token carries this vault's mark: another token may have the same label.
    fn require_mark(&self, login: &Login<'_>, vault: VaultId) -> Result<(), KeyError> {
        let Some(text) = self.fetch(login, vault, mark::EPOCH)? else {
            return Err(self.unreachable("the token does not carry this vault's mark"));
        };
        let place = format!("the mark in {}", self.title());
        let found = mark::from_text(&text, &place)?;
        if found != vault {
            return Err(KeyError::OtherVault { file: place, found, expected: vault });
        }
        Ok(())
    }

    fn list(&self, login: &Login<'_>, vault: VaultId) -> Result<Vec<Epoch>, KeyError> {
        let objects = login
            .session
            .find_objects(&template())
            .map_err(|error| self.failed("searching it", &error))?;
        let mut epochs = Vec::new();
        for object in objects {
            let label = self.value_of(login, object, AttributeType::Label)?;
            epochs.extend(epoch_of(&label, vault));
        }
        epochs.sort_unstable();
        epochs.dedup();
        Ok(epochs)
    }
}

impl Custodian for Pkcs11Custodian {
    fn name(&self) -> &str {
        &self.name
    }

    fn place(&self) -> String {
        format!("the token `{}`", self.token)
    }

    fn assurance(&self) -> Assurance {
        Assurance::Device
    }

    fn enroll(&self, vault: VaultId) -> Result<(), KeyError> {
        let login = self.login()?;
        if self.fetch(&login, vault, mark::EPOCH)?.is_none() {
            let text = mark::to_text(vault);
            durable::step("custodian-mark", || {
                self.create(&login, vault, mark::EPOCH, text.as_bytes())
            })?;
        }
        self.require_mark(&login, vault)
    }

    fn put(&self, share: &Share) -> Result<(), KeyError> {
        let (vault, epoch) = (share.vault, share.epoch);
        let login = self.login()?;
        self.require_mark(&login, vault)?;
        if self.find(&login, vault, epoch)?.is_empty() {
            let text = share.to_text();
            durable::step("custodian-put", || self.create(&login, vault, epoch, text.as_bytes()))?;
        }
        match self.read(&login, vault, epoch)? {
            Some(held) if held.is_same(share) => Ok(()),
            Some(_) => Err(KeyError::EpochTaken { custodian: self.title(), epoch }),
            None => Err(self.unreachable("the token took the share and does not hand it back")),
        }
    }

    fn get(&self, vault: VaultId, epoch: Epoch) -> Result<Share, KeyError> {
        let login = self.login()?;
        if let Some(share) = self.read(&login, vault, epoch)? {
            return Ok(share);
        }
        self.require_mark(&login, vault)?;
        Err(no_share(self, epoch, &self.list(&login, vault)?))
    }

    fn epochs(&self, vault: VaultId) -> Result<Vec<Epoch>, KeyError> {
        let login = self.login()?;
        self.require_mark(&login, vault)?;
        self.list(&login, vault)
    }

    fn destroy(&self, vault: VaultId, epoch: Epoch) -> Result<(), KeyError> {
        let login = self.login()?;
        self.require_mark(&login, vault)?;
        let objects = self.find(&login, vault, epoch)?;
        durable::step("custodian-destroy", || {
            objects.into_iter().try_for_each(|object| {
                let destroyed = login.session.destroy_object(object);
                destroyed.map_err(|error| self.failed("destroying an object", &error))
            })
        })?;
        match self.find(&login, vault, epoch)?.as_slice() {
            [] => Ok(()),
            _ => Err(self.unreachable("the token still holds what it said it destroyed")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_objects_name_tells_its_vault_and_epoch() {
        let (one, two) = (VaultId([1; 16]), VaultId([2; 16]));
        assert_eq!(epoch_of(&label(one, Epoch(12)), one), Some(Epoch(12)));
        assert_eq!(epoch_of(&label(one, Epoch(12)), two), None);
        assert_eq!(epoch_of(&label(one, mark::EPOCH), one), None);
        assert_eq!(epoch_of(b"\xff", one), None);
    }
}
