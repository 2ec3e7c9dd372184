//! `keyward list`

use clap::{Args, ValueEnum};
use jiff::Timestamp;

use super::absent::note_keys;
use super::damaged::DamageReport;
use super::key_columns::{self, KeyColumn};
use super::{key_csv, one_of};
use crate::error::{Code, Error, Exit};
use crate::session::{Session, no_such_entry};
use crate::terminal::{BLOCK, Cell, Column, ColumnWidths};
use crate::text::count;
use keyward_core::rules::key::{Key, SecretInfo, State};
use keyward_core::rules::names::{InvalidText, LabelFilter, Level, Name, Scope};
use keyward_core::rules::selection::{Selection, or_none};
use keyward_core::rules::time::Duration;
use keyward_core::store::{Filter, Sort, Store, View};

/// List the keys
///
/// Filters with different names must all hold. A filter takes several values, with commas between them, and lists the
/// keys that have one of them; `!VALUE` leaves out the keys that have it, and `none` stands for no value. Repeated,
/// --scope, --level and --label must all hold; of the others, one of the values. A note on standard error names a value
/// that no key has.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  keyward list --scope rest --state active
  keyward list --owner ann,bob --tenant none --label '!temporary'
  keyward list --expires-within 14d --fail-if-any  # a gate for CI: exit code 8
  keyward list --unused-for 90d -q | xargs -r keyward disable --
  keyward list --sort uses --reverse --limit 10 --columns name,uses,last-used
  keyward list --csv > keys.csv")]
pub struct List {
    /// Keys with this text in their name, description or labels
    #[arg(long, value_name = "TEXT", help_heading = "Filters")]
    search: Option<String>,
    /// Names that match a pattern with *, ? and […]
    #[arg(long, value_name = "GLOB", help_heading = "Filters", value_parser = globs)]
    name: Vec<Selection<String>>,
    /// Keys in this group
    #[arg(long, value_name = "GROUP", help_heading = "Filters")]
    group: Vec<Selection<Name>>,
    /// Keys of this user
    #[arg(long, value_name = "USER", help_heading = "Filters")]
    owner: Vec<Selection<Name>>,
    /// Keys in this role
    #[arg(long, value_name = "ROLE", help_heading = "Filters")]
    role: Vec<Selection<Name>>,
    /// Keys of this tenant
    #[arg(long, value_name = "TENANT", help_heading = "Filters")]
    tenant: Vec<Selection<Name>>,
    /// Keys with this scope
    #[arg(long, value_name = "SCOPE", help_heading = "Filters")]
    scope: Vec<Selection<Scope>>,
    /// Keys that hold this level, or one below it
    #[arg(long, value_name = "PATH", help_heading = "Filters")]
    level: Vec<Selection<Level>>,
    /// Keys with this label
    #[arg(long, value_name = "KEY[=VALUE]", help_heading = "Filters", value_parser = label)]
    label: Vec<Selection<LabelFilter>>,
    /// Keys in this state: active, disabled, expired or suspended
    #[arg(long, value_name = "STATE", help_heading = "Filters", value_parser = states)]
    state: Vec<Selection<State>>,
    /// Keys that never expire; '!never' for those that do
    #[arg(long, value_name = "never", help_heading = "Filters", value_parser = never)]
    expires: Option<bool>,
    /// Keys that expire within this time
    #[arg(long, value_name = "DURATION", help_heading = "Filters")]
    expires_within: Option<Duration>,
    /// Keys at least this old and not used for this long
    #[arg(long, value_name = "DURATION", help_heading = "Filters")]
    unused_for: Option<Duration>,
    /// Sort by this
    #[arg(long, value_enum, default_value_t = SortArg::Name, help_heading = "Order")]
    sort: SortArg,
    /// Reverse the order
    #[arg(long, help_heading = "Order")]
    reverse: bool,
    /// Show at most N keys
    #[arg(long, value_name = "N", help_heading = "Order", allow_negative_numbers = true)]
    limit: Option<u64>,
    /// Show these columns, in this order; with --json or --csv these fields only
    #[arg(long, value_name = "COLUMN", value_delimiter = ',', help_heading = "Output", value_parser = one_of::<KeyColumn>(key_columns::names()))]
    columns: Vec<KeyColumn>,
    /// Print CSV, with the fields of --json
    #[arg(long, conflicts_with = "json", help_heading = "Output")]
    csv: bool,
    /// End with exit code 8 if there is any key to list
    #[arg(long)]
    fail_if_any: bool,
}

/// SQLite accepts a thousand conditions; a person needs a few.
const MOST_CONDITIONS: usize = 100;

const NO_KEYS: &str = "there are no keys yet; make the first one with: keyward create first-key";

/// What to sort by.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum SortArg {
    Name,
    Created,
    Expires,
    Used,
    Uses,
}

/// Names have at most 100 characters, and patterns need only a few times that.
fn globs(text: &str) -> Result<Selection<String>, InvalidText> {
    let glob = |text: &str| {
        if text.is_empty() {
            Err(InvalidText::new("a pattern is empty"))
        } else if text.len() > 500 {
            Err(InvalidText::new("a pattern has at most 500 characters"))
        } else {
            Ok(Some(text.to_owned()))
        }
    };
    Selection::read(text, glob)
}

/// The value of a label may contain commas.
fn label(text: &str) -> Result<Selection<LabelFilter>, InvalidText> {
    Selection::read_one(text, or_none)
}

/// Every key has a state, so there is no `none`.
fn states(text: &str) -> Result<Selection<State>, InvalidText> {
    Selection::read(text, |text| text.parse().map(Some))
}

fn never(text: &str) -> Result<bool, InvalidText> {
    match text {
        "never" => Ok(true),
        "!never" => Ok(false),
        _ => Err(InvalidText::new("only never, or !never; for a time there is --expires-within")),
    }
}

/// The selection of a flag that was given several times: any of its values.
fn any<T: Clone>(given: &[Selection<T>]) -> Selection<T> {
    given.iter().cloned().fold(Selection::default(), Selection::or)
}

impl List {
    /// Whether what is printed is for a program.
    pub fn is_for_programs(&self) -> bool {
        self.csv
    }

    /// Lists the keys, one at a time.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn run(self, session: &mut Session) -> Result<Exit, Error> {
        let filter = self.filter(session)?;
        let count = if let Some(store) = session.store_to_read()? {
            let view = store.view()?;
            check_names(&store, &view, &filter)?;
            let Listing { count, damaged, .. } = self.print(session, &view, &filter)?;
            note_keys(session, &view, &filter, count)?;
            if count == 0 {
                session.note_nothing(if filter == Filter::default() { NO_KEYS } else { "no key matches" });
            }
            damaged.report(store.path())?;
            count
        } else {
            self.print_nothing(session)?;
            session.terminal.note(NO_KEYS);
            0
        };
        Ok(if self.fail_if_any && count > 0 { Exit::FOUND } else { Exit::DONE })
    }

    fn filter(&self, session: &Session) -> Result<Filter, Error> {
        let too_long = |flag: &str| {
            Error::new(Code::InvalidValue, format!("{flag} reaches beyond the year 9999, or before the year 0"))
                .hint("give a shorter duration, such as 90d")
        };
        let now = session.now();
        let filter = Filter {
            search: self.search.clone(),
            name: any(&self.name),
            group: any(&self.group),
            owner: any(&self.owner),
            role: any(&self.role),
            tenant: any(&self.tenant),
            scopes: self.scope.clone(),
            levels: self.level.clone(),
            labels: self.label.clone(),
            state: any(&self.state),
            enabled: None,
            never_expires: self.expires,
            expires_by: self
                .expires_within
                .map(|time| time.after(now).ok_or_else(|| too_long("--expires-within")))
                .transpose()?,
            unused_since: self
                .unused_for
                .map(|time| time.before(now).ok_or_else(|| too_long("--unused-for")))
                .transpose()?,
            sort: match self.sort {
                SortArg::Name => Sort::Name,
                SortArg::Created => Sort::Created,
                SortArg::Expires => Sort::Expires,
                SortArg::Used => Sort::Used,
                SortArg::Uses => Sort::Uses,
            },
            reverse: self.reverse,
            limit: self.limit,
        };
        if filter.size() > MOST_CONDITIONS {
            return Err(Error::new(Code::Usage, format!("more than {MOST_CONDITIONS} values to filter by"))
                .hint("ask for fewer at once"));
        }
        Ok(filter)
    }
}

/// A check in CI on the keys of a user who does not exist would never fail.
fn check_names(store: &Store, view: &View<'_>, filter: &Filter) -> Result<(), Error> {
    for (kind, names) in filter.directory() {
        for name in names.values() {
            if view.entry(kind, name)?.is_none() {
                return Err(no_such_entry(Some(store), kind, name));
            }
        }
    }
    Ok(())
}

/// The keys that were listed.
#[derive(Default)]
struct Listing {
    count: u64,
    damaged: DamageReport,
    /// How many have an imported secret, and for how many it is still in its imported form.
    imported: u64,
    waiting: u64,
}

impl Listing {
    fn imported_in_words(&self) -> String {
        match (self.imported, self.waiting) {
            (0, _) => String::new(),
            (imported, 0) => format!(", {imported} with an imported secret"),
            (imported, waiting) => format!(", {imported} with an imported secret ({waiting} not renewed yet)"),
        }
    }
}

impl List {
    fn print(&self, session: &mut Session, view: &View<'_>, filter: &Filter) -> Result<Listing, Error> {
        if session.json() {
            self.print_array(session, view, filter)
        } else if self.csv {
            self.print_csv(session, view, filter)
        } else if session.quiet() {
            each(session, view, filter, |session, key| session.terminal.print(&format!("{}\n", key.name)))
        } else {
            let are_usual = self.columns.is_empty();
            let shown = if are_usual { key_columns::usual() } else { self.columns.clone() };
            let column = |shown: &KeyColumn| if are_usual { shown.column() } else { shown.column().asked_for() };
            print_table(session, view, filter, (&shown.iter().map(column).collect::<Vec<_>>(), &shown))
        }
    }

    /// Prints an empty list.
    fn print_nothing(&self, session: &mut Session) -> Result<(), Error> {
        if session.json() {
            session.terminal.print("[]\n")
        } else if self.csv {
            session.terminal.print_bytes(&key_csv::heading(&key_csv::fields(&self.columns))?)
        } else {
            Ok(())
        }
    }

    fn print_csv(&self, session: &mut Session, view: &View<'_>, filter: &Filter) -> Result<Listing, Error> {
        let fields = key_csv::fields(&self.columns);
        session.terminal.print_bytes(&key_csv::heading(&fields)?)?;
        each(session, view, filter, |session, key| {
            let line = key_csv::line(&key, &fields, session.now())?;
            session.terminal.print_bytes(&line)
        })
    }

    fn print_array(&self, session: &mut Session, view: &View<'_>, filter: &Filter) -> Result<Listing, Error> {
        let (mut before, mut line) = (b"[".as_slice(), vec![]);
        let seen = each(session, view, filter, |session, key| {
            line.clear();
            line.extend_from_slice(std::mem::replace(&mut before, b",\n"));
            self.write_key(&mut line, &key, session.now()).map_err(anyhow::Error::new)?;
            session.terminal.print_bytes(&line)
        })?;
        session.terminal.print(if seen.count == 0 { "[]\n" } else { "]\n" })?;
        Ok(seen)
    }

    fn write_key(&self, line: &mut Vec<u8>, key: &Key, now: Timestamp) -> serde_json::Result<()> {
        if self.columns.is_empty() {
            return serde_json::to_writer(line, &key.to_json(now));
        }
        let whole = serde_json::to_value(key.to_json(now))?;
        let field = |column: &KeyColumn| (column.field.to_owned(), whole[column.field].clone());
        serde_json::to_writer(line, &self.columns.iter().map(field).collect::<serde_json::Map<_, _>>())
    }
}

fn print_table(
    session: &mut Session,
    view: &View<'_>,
    filter: &Filter,
    (columns, shown): (&[Column], &[KeyColumn]),
) -> Result<Listing, Error> {
    let row = |key: &Key, now| shown.iter().map(|column| column.cell(key, now)).collect::<Vec<Cell>>();
    let (mut rows, mut widest) = (vec![], ColumnWidths::default());
    let seen = each(session, view, filter, |session, key| {
        let row = row(&key, session.now());
        if rows.len() < BLOCK {
            rows.push(row);
        } else {
            widest.take(&row);
        }
        Ok(())
    })?;
    if seen.count > BLOCK as u64 {
        for row in &rows {
            widest.take(row);
        }
        // The list is too long to keep in memory: now that the widths of its columns are known, it is read again.
        let mut blocks = session.terminal.begin_table(columns, &widest);
        let mut rows = vec![];
        each(session, view, filter, |session, key| {
            rows.push(row(&key, session.now()));
            if rows.len() == BLOCK {
                session.terminal.print_block(&mut blocks, &std::mem::take(&mut rows))?;
            }
            Ok(())
        })?;
        if !rows.is_empty() {
            session.terminal.print_block(&mut blocks, &rows)?;
        }
    } else if seen.count > 0 {
        session.terminal.print_table(columns, &rows)?;
    }
    if seen.count > 0 {
        note_count(session, view, filter, &seen)?;
    }
    Ok(seen)
}

/// A person who reads a list wants to know whether it is complete.
fn note_count(session: &mut Session, view: &View<'_>, filter: &Filter, seen: &Listing) -> Result<(), Error> {
    let shown = seen.count;
    let all = match filter.limit {
        Some(_) => view.count_keys(filter, session.now())?,
        None => shown,
    };
    if shown < all {
        session.terminal.note(&format!("{shown} of {}{}", count(all, "key"), seen.imported_in_words()));
    } else if session.terminal.kinds().stdout_is_terminal {
        session.terminal.note(&format!("{}{}", count(all, "key"), seen.imported_in_words()));
    }
    Ok(())
}

/// Calls `f` with each key until the output is closed; returns how many there were.
fn each(
    session: &mut Session,
    view: &View<'_>,
    filter: &Filter,
    mut f: impl FnMut(&mut Session, Key) -> Result<(), Error>,
) -> Result<Listing, Error> {
    let now = session.now();
    let mut seen = Listing::default();
    view.each_key(filter, now, |key| {
        seen.count += 1;
        seen.damaged.add_key(&key);
        seen.imported += u64::from(key.secrets.iter().any(|secret| secret.imported.is_some()));
        seen.waiting += u64::from(key.secrets.iter().any(SecretInfo::is_to_be_renewed));
        if session.terminal.is_unread() { Ok(()) } else { f(session, key) }
    })?;
    Ok(seen)
}
