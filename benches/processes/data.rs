//! Stores for benchmarks: the same in each run, made through the library, without an Argon2id hash for each key.
//!
//! All data is made up. A filter matches the same share of keys at every size: a hundred in a million, one in ten
//! thousand, and so on.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Result;
use jiff::Timestamp;
use keyward_core::rules::directory::{Draft, Facts};
use keyward_core::rules::hashing::{Cost, HashedSecret, Memory};
use keyward_core::rules::key::Settings;
use keyward_core::rules::limits::Limits;
use keyward_core::rules::names::Name;
use keyward_core::rules::token::{Id, Secret};
use keyward_core::store::{NewKey, NewSecret, Stamp, Store};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

/// The salt of every hash: printable, because Debian's argon2 takes it as an argument.
pub(crate) const SALT: &str = "salt-of-benches!";
/// Keys per transaction.
const AT_ONCE: usize = 50_000;
/// The creation time of everything: 2026-01-01.
const MADE_AT: i64 = 1_767_225_600;
/// Seconds in a week.
const WEEK: i64 = 7 * 24 * 60 * 60;

/// Makes the store at `path` with this many keys, and returns the secrets of the first `genuine` ones. All others
/// share a hash without a secret.
pub(crate) fn make(path: &Path, keys: usize, genuine: usize) -> Result<Vec<Secret>> {
    let now = Timestamp::from_second(MADE_AT)?;
    let stamp = Stamp { now, actor: None };
    let mut random = ChaCha20Rng::seed_from_u64(keys as u64);
    let secrets: Vec<Secret> = (0..genuine.min(keys)).map(|_| secret(&mut random)).collect::<Result<_>>()?;
    let hashes = hash_all(&secrets)?;
    let nobody = HashedSecret::new(&secret(&mut random)?, salt(), Cost::default())?;
    let mut store = Store::create(path, now)?;
    store.write::<_, anyhow::Error>(stamp, |changes| {
        for entry in directory()? {
            changes.insert_entry(&entry)?;
        }
        Ok(())
    })?;
    let mut next = 0;
    while next < keys {
        store.write::<_, anyhow::Error>(stamp, |changes| {
            for number in next..keys.min(next + AT_ONCE) {
                let (id, hash) = match secrets.get(number).zip(hashes.get(number)) {
                    Some((secret, hash)) => (secret.id().clone(), hash.clone()),
                    None => (id(&mut random), nobody.clone()),
                };
                changes.insert_key(&NewKey {
                    id: &self::id(&mut random),
                    name: &name(number)?,
                    settings: &settings(number, number < genuine)?,
                    secret: &NewSecret { id, hash },
                })?;
            }
            Ok(())
        })?;
        next += AT_ONCE;
    }
    Ok(secrets)
}

/// The name of the key with this number: one in ten thousand starts with an x.
pub(crate) fn name(number: usize) -> Result<Name> {
    let kind = if number % 10_000 == 1 { "x" } else { "service" };
    Ok(format!("{kind}-{number:07}").parse()?)
}

/// The settings of the key with this number: one in ten thousand has the scope `s`, and one in ten expires, spread
/// evenly over the weeks of twenty years. Genuine keys have no other restrictions.
fn settings(number: usize, is_genuine: bool) -> Result<Settings> {
    let mut settings = Settings::with_prefix("kw".parse()?);
    settings.group = number.is_multiple_of(4).then(|| format!("group-{}", number % 16).parse()).transpose()?;
    settings.owner = number.is_multiple_of(2).then(|| format!("user-{}", number % 100).parse()).transpose()?;
    settings.tenant = number.is_multiple_of(8).then(|| format!("tenant-{}", number % 32).parse()).transpose()?;
    settings.scopes = BTreeSet::from(["rest".parse()?, format!("area-{}", number % 50).parse()?]);
    if number % 10_000 == 2 {
        settings.scopes.insert("s".parse()?);
    }
    settings.levels = BTreeSet::from([format!("api/team-{}", number % 20).parse()?]);
    settings.labels = BTreeMap::from([("team".parse()?, format!("team-{}", number % 20).parse()?)]);
    if is_genuine {
        settings.tenant = None;
        return Ok(settings);
    }
    settings.allowed_ips = BTreeSet::from([format!("10.{}.{}.0/24", number / 256 % 256, number % 256).parse()?]);
    if number % 10 == 3 {
        let week = i64::try_from(number / 10 % 1_000)?;
        settings.expires_at = Some(Timestamp::from_second(MADE_AT + week * WEEK)?);
    }
    Ok(settings)
}

fn directory() -> Result<Vec<Draft>> {
    let draft = |name: String, facts| Ok(Draft { name: name.parse()?, description: None, facts });
    let groups = (0..16).step_by(4).map(|number| draft(format!("group-{number}"), Facts::Group));
    let tenants = (0..32)
        .step_by(8)
        .map(|number| draft(format!("tenant-{number}"), Facts::Tenant { enabled: true, limits: Limits::default() }));
    let user = Facts::User { role: None, tenant: None, enabled: true, limits: Limits::default() };
    let users = (0..100).step_by(2).map(|number| draft(format!("user-{number}"), user.clone()));
    groups.chain(tenants).chain(users).collect()
}

fn hash_all(secrets: &[Secret]) -> Result<Vec<HashedSecret>> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let part = secrets.len().div_ceil(threads).max(1);
    std::thread::scope(|scope| {
        let hash = |part: &[Secret]| {
            let mut memory = Memory::default();
            part.iter()
                .map(|secret| Ok(HashedSecret::new_in(secret, salt(), Cost::default(), &mut memory)?))
                .collect::<Result<Vec<_>>>()
        };
        let parts: Vec<_> = secrets.chunks(part).map(|part| scope.spawn(move || hash(part))).collect();
        let mut hashes = vec![];
        for part in parts {
            hashes.extend(part.join().map_err(|_| anyhow::anyhow!("a thread panicked"))??);
        }
        Ok(hashes)
    })
}

fn salt() -> [u8; 16] {
    *SALT.as_bytes().first_chunk().unwrap_or(&[0; 16])
}

fn secret(random: &mut ChaCha20Rng) -> Result<Secret> {
    let id = id(random);
    let mut bytes = [0; 32];
    random.fill_bytes(&mut bytes);
    Ok(Secret::build(&"kw".parse()?, id, &bytes))
}

fn id(random: &mut ChaCha20Rng) -> Id {
    Id::from_random(random.next_u64().to_be_bytes())
}
