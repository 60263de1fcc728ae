//! The master secret in its age file (<https://age-encryption.org/v1>): for recipients, or for a
//! passphrase (scrypt).

pub mod age_keys;
pub mod kit;

use std::io::{Read as _, Write as _};

use age::secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

use self::age_keys::Recipient;
use super::{KeyError, MasterSecret, secret_file};
use crate::base::ids::VaultId;
use crate::crypto::SecretText;

const KIND: &str = "master secret";
/// scrypt's cost, as the stock age tool has it: 2^18 (256 MiB for about a second). Left to itself
/// the library would choose by this machine's speed, and another machine might lack the memory.
const SCRYPT_LOG_N: u8 = 18;
/// The highest cost that is accepted, as the stock age tool has it: 2^22 (4 GiB). Left to itself the
/// library would measure this machine, and refuse a good file while the machine is busy.
const SCRYPT_LOG_N_MAX: u8 = 22;

/// For whom the master secret is encrypted. age allows a passphrase only by itself.
pub enum Protection {
    /// Whoever knows the passphrase.
    Passphrase(SecretText),
    /// Whoever holds the identity of one of these recipients.
    Recipients(Vec<Recipient>),
}

impl Protection {
    /// A new age identity and its recipient, both as `age-keygen` prints them.
    #[must_use]
    pub fn new_identity() -> (SecretText, String) {
        let identity = age::x25519::Identity::generate();
        let recipient = identity.to_public().to_string();
        (SecretText::new(identity.to_string().expose_secret().to_owned()), recipient)
    }

    /// Reads recipients as `age-keygen` and `ssh-keygen` print them.
    pub fn recipients(texts: &[String]) -> Result<Self, KeyError> {
        let recipients: Result<_, _> = texts.iter().map(|text| text.parse()).collect();
        recipients.map(Self::Recipients)
    }
}

/// What a command has at hand to open the master secret.
#[derive(Default)]
pub struct Credentials {
    /// A passphrase.
    pub passphrase: Option<SecretText>,
    /// The text of an age identity file, and its path for messages.
    pub identities: Option<(SecretText, String)>,
}

/// Encrypts the master secret: the bytes of the age file.
pub fn seal(
    master: &MasterSecret,
    vault: VaultId,
    protection: &Protection,
) -> Result<Vec<u8>, KeyError> {
    let text = secret_file::write(KIND, vault, None, master.expose());
    let encryptor = match protection {
        Protection::Passphrase(passphrase) => {
            let secret = SecretString::from(passphrase.expose().to_owned());
            let mut recipient = age::scrypt::Recipient::new(secret);
            recipient.set_work_factor(SCRYPT_LOG_N);
            age::Encryptor::with_recipients(std::iter::once(&recipient as _))
                .map_err(|_| KeyError::InvalidAgeKey { what: "the passphrase".to_owned() })?
        }
        Protection::Recipients(recipients) => age::Encryptor::with_recipients(
            recipients.iter().map(Recipient::as_age),
        )
        .map_err(|_| KeyError::InvalidAgeKey { what: "an empty list of recipients".to_owned() })?,
    };
    let mut sealed = Vec::new();
    let io = |source| KeyError::Io { file: "the master secret's age file".to_owned(), source };
    let mut writer = encryptor.wrap_output(&mut sealed).map_err(io)?;
    writer.write_all(text.as_bytes()).map_err(io)?;
    writer.finish().map_err(io)?;
    Ok(sealed)
}

/// Whether an age file asks for a passphrase (rather than an identity).
pub fn needs_passphrase(sealed: &[u8], file: &str) -> Result<bool, KeyError> {
    Ok(decryptor(sealed, file)?.is_scrypt())
}

/// Decrypts the master secret. `file` names the age file in errors.
pub fn open(
    sealed: &[u8],
    vault: VaultId,
    credentials: &Credentials,
    file: &str,
) -> Result<MasterSecret, KeyError> {
    let decryptor = decryptor(sealed, file)?;
    let missing = |needed| KeyError::MissingCredential { file: file.to_owned(), needed };
    let mut text = Zeroizing::new(Vec::with_capacity(256));
    if decryptor.is_scrypt() {
        let passphrase = credentials.passphrase.as_ref().ok_or(missing("a passphrase"))?;
        let secret = SecretString::from(passphrase.expose().to_owned());
        let mut identity = age::scrypt::Identity::new(secret);
        identity.set_max_work_factor(SCRYPT_LOG_N_MAX);
        let wrong = || KeyError::WrongPassphrase { file: file.to_owned() };
        read_all(decryptor, &[&identity], &mut text, file, wrong)?;
    } else {
        let (identities, path) =
            credentials.identities.as_ref().ok_or(missing("an identity file"))?;
        let identities = age_keys::identities(identities, path)?;
        let identities: Vec<&dyn age::Identity> =
            identities.iter().map(|identity| &**identity as &dyn age::Identity).collect();
        let wrong = || KeyError::WrongIdentity { file: file.to_owned() };
        read_all(decryptor, &identities, &mut text, file, wrong)?;
    }
    let parsed = secret_file::read(KIND, &text, file)?;
    if parsed.vault != vault {
        return Err(KeyError::OtherVault {
            file: file.to_owned(),
            found: parsed.vault,
            expected: vault,
        });
    }
    MasterSecret::from_slice(parsed.secret.as_slice())
        .ok_or(KeyError::Damaged { file: file.to_owned(), reason: "the secret is not 32 bytes" })
}

fn decryptor<'a>(sealed: &'a [u8], file: &str) -> Result<age::Decryptor<&'a [u8]>, KeyError> {
    age::Decryptor::new(sealed)
        .map_err(|_| KeyError::Damaged { file: file.to_owned(), reason: "it is not an age file" })
}

fn read_all(
    decryptor: age::Decryptor<&[u8]>,
    identities: &[&dyn age::Identity],
    text: &mut Vec<u8>,
    file: &str,
    wrong: impl Fn() -> KeyError,
) -> Result<(), KeyError> {
    use age::DecryptError as Error;
    let damaged = |reason| KeyError::Damaged { file: file.to_owned(), reason };
    let mut reader =
        decryptor.decrypt(identities.iter().copied()).map_err(|error| match error {
            Error::InvalidHeader | Error::InvalidMac | Error::UnknownFormat => {
                damaged("its age header does not authenticate")
            }
            Error::ExcessiveWork { required, .. } => {
                KeyError::WorkFactor { file: file.to_owned(), required, limit: SCRYPT_LOG_N_MAX }
            }
            _ => wrong(),
        })?;
    reader.read_to_end(text).map_err(|_| damaged("its contents do not authenticate"))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random;

    const VAULT: VaultId = VaultId([1; 16]);

    fn identity_credentials(identity: &age::x25519::Identity) -> Credentials {
        use age::secrecy::ExposeSecret as _;
        let text = SecretText::new(identity.to_string().expose_secret().to_owned());
        Credentials { passphrase: None, identities: Some((text, "id".to_owned())) }
    }

    #[test]
    fn opens_for_its_recipients_only() {
        let (one, other) = (age::x25519::Identity::generate(), age::x25519::Identity::generate());
        let master = MasterSecret::generate(&mut random::system());
        let protection = Protection::recipients(&[one.to_public().to_string()]).unwrap();
        let sealed = seal(&master, VAULT, &protection).unwrap();
        let opened = open(&sealed, VAULT, &identity_credentials(&one), "m").unwrap();
        assert_eq!(opened.expose(), master.expose());
        assert!(matches!(
            open(&sealed, VAULT, &identity_credentials(&other), "m"),
            Err(KeyError::WrongIdentity { .. })
        ));
        assert!(matches!(
            open(&sealed, VaultId([2; 16]), &identity_credentials(&one), "m"),
            Err(KeyError::OtherVault { .. })
        ));
        assert!(matches!(
            open(&sealed, VAULT, &Credentials::default(), "m"),
            Err(KeyError::MissingCredential { needed: "an identity file", .. })
        ));
    }

    /// The bytes of an age file whose header says that the passphrase costs 2^`log_n`.
    fn of_work_factor(sealed: &[u8], log_n: u8) -> Vec<u8> {
        let end = sealed.windows(4).position(|bytes| bytes == b" 18\n").unwrap();
        [&sealed[..end], format!(" {log_n}\n").as_bytes(), &sealed[end + 4..]].concat()
    }

    #[test]
    fn the_work_of_a_passphrase_has_a_fixed_limit_and_a_higher_one_is_no_damage() {
        let master = MasterSecret::generate(&mut random::system());
        let passphrase = || SecretText::new("right".to_owned());
        let sealed = seal(&master, VAULT, &Protection::Passphrase(passphrase())).unwrap();
        let credentials = Credentials { passphrase: Some(passphrase()), identities: None };
        for log_n in [SCRYPT_LOG_N_MAX + 1, 40, 64, 99] {
            let refused = open(&of_work_factor(&sealed, log_n), VAULT, &credentials, "m.age");
            let sentence = refused.err().unwrap().to_string();
            let expected = format!(
                "m.age asks for more work than is done for a passphrase: its scrypt work factor \
                 is {log_n}, and the highest that is accepted is 22"
            );
            assert_eq!(sentence, expected);
        }
        // Half of what it was sealed with: accepted, tried, and another key comes out.
        assert!(matches!(
            open(&of_work_factor(&sealed, 17), VAULT, &credentials, "m"),
            Err(KeyError::WrongPassphrase { .. })
        ));
    }

    #[test]
    fn a_wrong_passphrase_and_damage_are_told_apart() {
        let master = MasterSecret::generate(&mut random::system());
        let credentials = |text: &str| Credentials {
            passphrase: Some(SecretText::new(text.to_owned())),
            identities: None,
        };
        let protection = Protection::Passphrase(SecretText::new("right".to_owned()));
        let mut sealed = seal(&master, VAULT, &protection).unwrap();
        assert!(open(&sealed, VAULT, &credentials("right"), "m").is_ok());
        assert!(matches!(
            open(&sealed, VAULT, &credentials("wrong"), "m"),
            Err(KeyError::WrongPassphrase { .. })
        ));
        let last = sealed.len() - 1;
        sealed[last] ^= 1;
        assert!(matches!(
            open(&sealed, VAULT, &credentials("right"), "m"),
            Err(KeyError::Damaged { .. })
        ));
    }
}
