//! `keyward status`

use clap::Args;
use jiff::Timestamp;
use serde::Serialize;

use super::doctor::{LONG, SOON, count_of, span_of};
use crate::error::{Error, Exit};
use crate::session::Session;
use crate::terminal::{Cell, Tone, card};
use crate::text::count;
use keyward_core::rules::authority::Authority;
use keyward_core::rules::key::State;
use keyward_core::rules::names::Name;
use keyward_core::rules::time::{Rfc3339, relative, rfc3339};
use keyward_core::store::{Filter, Sort, StoreError, View};

/// Show the store, the acting user, and the keys at a glance
///
/// It names the store and the user on whose behalf changes are made, counts the keys by their states, and tells which
/// expire within 14 days and what else needs attention. `keyward doctor` also checks the store itself.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  keyward status
  keyward status --json | jq .keys.active")]
pub struct Status {}

/// How many keys are named.
const NAMED: u64 = 5;

/// The same for programs.
#[derive(Debug, Default, Serialize)]
struct Document {
    store: Option<String>,
    exists: bool,
    #[serde(rename = "as")]
    acting: Option<Name>,
    role: Option<Name>,
    /// Why the acting user may change nothing.
    #[serde(skip)]
    barred: Option<&'static str>,
    keys: States,
    /// How many active keys expire within 14 days, and the first of them.
    expiring: u64,
    expiring_first: Vec<Expiring>,
    attention: Vec<Attention>,
}

/// How many keys are in each state.
#[derive(Debug, Default, Serialize)]
struct States {
    active: u64,
    disabled: u64,
    expired: u64,
    suspended: u64,
}

#[derive(Debug, Serialize)]
struct Expiring {
    name: Name,
    #[serde(serialize_with = "in_rfc3339")]
    expires_at: Timestamp,
}

fn in_rfc3339<S: serde::Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    Rfc3339::serialize(&rfc3339(*time), serializer)
}

/// What needs attention, by its name in `doctor`.
#[derive(Debug, Serialize)]
struct Attention {
    check: &'static str,
    count: u64,
    #[serde(skip)]
    words: [&'static str; 2],
    /// The command that shows these keys.
    #[serde(skip)]
    see: &'static str,
}

impl Status {
    /// Shows it.
    ///
    /// # Errors
    /// If a named store does not exist, or cannot be read.
    pub fn run(self, session: &mut Session) -> Result<Exit, Error> {
        let mut document = match session.store_to_read()? {
            Some(store) => look(session, &store.view()?)?,
            None => Document { acting: session.stamp().actor.cloned(), ..Document::default() },
        };
        // With the path that other commands show, whatever links lead there.
        let real = |path: &std::path::Path| path.canonicalize().unwrap_or(path.to_owned()).display().to_string();
        document.store = session.store_path().map(real);
        if session.json() {
            session.terminal.print_json(&document)?;
        } else if !session.quiet() {
            let shown = shown(session, &document);
            session.terminal.print(&shown)?;
        }
        Ok(Exit::DONE)
    }
}

fn look(session: &Session, view: &View<'_>) -> Result<Document, Error> {
    let now = session.now();
    let in_state = |state: State| view.count_keys(&Filter { state: state.into(), ..Filter::default() }, now);
    let [disabled, expired, suspended] = [State::Disabled, State::Expired, State::Suspended].map(in_state);
    let mut keys =
        States { active: view.count_all_keys()?, disabled: disabled?, expired: expired?, suspended: suspended? };
    keys.active = keys.active.saturating_sub(keys.disabled + keys.expired + keys.suspended);

    let soon = Filter { state: State::Active.into(), expires_by: span_of(SOON).after(now), ..Filter::default() };
    let mut expiring_first = vec![];
    let first = Filter { sort: Sort::Expires, limit: Some(NAMED), ..soon.clone() };
    view.each_key(&first, now, |key| {
        if let Some(expires_at) = key.settings.expires_at {
            expiring_first.push(Expiring { name: key.name, expires_at });
        }
        Ok::<_, StoreError>(())
    })?;

    let never = Filter { state: State::Active.into(), never_expires: Some(true), ..Filter::default() };
    let unused = Filter { state: State::Active.into(), unused_since: span_of(LONG).before(now), ..Filter::default() };
    let attention = [
        Attention {
            check: "never_expires",
            count: view.count_keys(&never, now)?,
            words: ["never expires", "never expire"],
            see: "keyward list --state active --expires never",
        },
        Attention {
            check: "unused",
            count: view.count_keys(&unused, now)?,
            words: ["was not used for 90 days", "were not used for 90 days"],
            see: "keyward list --state active --unused-for 90d",
        },
        Attention {
            check: "expired",
            count: keys.expired,
            words: ["has expired and can be deleted", "have expired and can be deleted"],
            see: "keyward list --state expired",
        },
        Attention {
            check: "suspended",
            count: keys.suspended,
            words: ["does not work: its owner or tenant is disabled", "do not work: their owner or tenant is disabled"],
            see: "keyward list --state suspended",
        },
        Attention {
            check: "staged_secret",
            count: view.keys_with_staged_secrets()?.count,
            words: ["is in the middle of a rotation", "are in the middle of a rotation"],
            see: "keyward doctor",
        },
    ];
    let actor = session.stamp().actor;
    let (role, barred) = match view.authority(actor)? {
        Authority::User(user) => {
            let barred = match (user.enabled, &user.role) {
                (false, _) => Some("a disabled user"),
                (true, None) => Some("without a role"),
                (true, Some(role)) if !role.manages_keys => Some("in a role that does not manage keys"),
                (true, Some(_)) => None,
            };
            (user.role.map(|role| role.name), barred)
        }
        Authority::Unknown(_) => (None, Some("no user of this store")),
        _ => (None, None),
    };
    Ok(Document {
        exists: true,
        acting: actor.cloned(),
        role,
        barred,
        keys,
        expiring: view.count_keys(&soon, now)?,
        expiring_first,
        attention: attention.into_iter().filter(|found| found.count > 0).collect(),
        ..Document::default()
    })
}

fn shown(session: &Session, document: &Document) -> String {
    let now = session.now();
    let store = document.store.clone().unwrap_or_default();
    let store = if document.exists { store } else { format!("{store} (the first create makes it)") };
    let acting = match (&document.acting, document.barred, &document.role) {
        (Some(user), Some(why), _) => format!("{user}, {why}: every change is refused"),
        (Some(user), None, Some(role)) => format!("{user}, in the role {role}"),
        (Some(user), None, None) => user.to_string(),
        (None, _, _) => "the owner of the store (no --as): every change is allowed".to_owned(),
    };
    let States { active, disabled, expired, suspended } = document.keys;
    let states = [(active, "active"), (disabled, "disabled"), (expired, "expired"), (suspended, "suspended")];
    let states = states.map(|(number, state)| format!("{number} {state}")).join(", ");
    let expiring = match document.expiring {
        0 => "none within 14 days".to_owned(),
        number => {
            let first =
                document.expiring_first.iter().map(|key| format!("{} {}", key.name, relative(key.expires_at, now)));
            let first = first.collect::<Vec<_>>().join("\n");
            let more = number.saturating_sub(document.expiring_first.len() as u64);
            let more = if more > 0 { format!("\nand {more} more") } else { String::new() };
            format!("{} within 14 days:\n{first}{more}", count(number, "key"))
        }
    };
    let attention = document.attention.iter().map(|Attention { count, words: [one, several], see, .. }| {
        format!("{}: {see}", count_of(*count, &format!("key {one}"), &format!("keys {several}")))
    });
    let attention = attention.collect::<Vec<_>>().join("\n");
    let tone = if attention.is_empty() { Tone::Good } else { Tone::Warning };
    let attention = if attention.is_empty() { "nothing".to_owned() } else { attention };
    card(
        &session.terminal,
        &[
            ("store", store.into()),
            ("acting", acting.into()),
            ("keys", states.into()),
            ("expire soon", expiring.into()),
            ("attention", Cell::new(attention, tone)),
        ],
    )
}
