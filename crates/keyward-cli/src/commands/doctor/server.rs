//! Checks of the store's server, and of the signed-in role.

use super::{Diagnosis, Severity};
use crate::text::count;
use keyward_core::store::{DeadRows, Durability, RoleCheckup, SchemaCheckup, ServerCheckup, ServerRole};

/// How far the clocks of hosts may be apart, in seconds.
const SKEW: f64 = 2.0;
/// How many dead rows are worth reporting, if they outnumber the live ones.
const MANY: u64 = 10_000;
/// How many rights, columns or tables are named.
const SHOWN: usize = 5;

pub(super) fn findings(found: &ServerCheckup) -> Vec<Diagnosis> {
    let mut findings = vec![server(found), latency(found), skew(found), version(found.schema)];
    findings.extend(role(&found.role));
    findings.extend(durability(&found.durability));
    findings.extend([collation(&found.other_collations), sequences(&found.late_sequences), dead_rows(found.uses)]);
    if found.is_pooled {
        findings.push(Diagnosis::ok("pooler", "a pooler is between; also in transaction mode, everything works"));
    }
    findings
}

fn server(found: &ServerCheckup) -> Diagnosis {
    let peer = &found.peer;
    let how = if peer.is_encrypted {
        "over TLS, its certificate checked"
    } else if peer.address.starts_with('%') {
        "over a socket of this machine"
    } else {
        "without TLS, within this machine"
    };
    let finding = format!("PostgreSQL {} at {}, {how}", peer.version, peer.address);
    if found.is_too_old {
        let meaning = "keyward is made for PostgreSQL 14 to 18, and some of its commands may fail";
        return Diagnosis::bad("server", Severity::Problem, finding, meaning, "update the server".to_owned());
    }
    Diagnosis::ok("server", finding)
}

fn latency(found: &ServerCheckup) -> Diagnosis {
    let milliseconds = found.latency.as_secs_f64() * 1_000.0;
    Diagnosis::ok("latency", format!("the server answers within {milliseconds:.2} ms"))
}

fn skew(found: &ServerCheckup) -> Diagnosis {
    let seconds = found.clock_ahead.as_secs_f64();
    if seconds.abs() <= SKEW {
        return Diagnosis::ok("clock", "the clocks of the server and of this machine agree");
    }
    let side = if seconds > 0.0 { "behind" } else { "ahead of" };
    Diagnosis::bad(
        "clock",
        Severity::Warning,
        format!("the clock of this machine is {:.0} s {side} that of the server", seconds.abs()),
        "this machine lets keys expire by its own clock, and changes have the time of the server",
        "set both by NTP: timedatectl set-ntp true".to_owned(),
    )
}

fn version(schema: SchemaCheckup) -> Diagnosis {
    let SchemaCheckup { found, known, oldest_reader, oldest_writer, .. } = schema;
    let check = "schema_version";
    let bounds = format!("it can be read from schema {oldest_reader} on, and written from {oldest_writer} on");
    if found < known {
        return Diagnosis::bad(
            check,
            Severity::Warning,
            format!("the store has schema {found}, and this keyward {known}"),
            "it works, but without what the newer schema is for",
            "bring it up to date as the owner of its tables: keyward store migrate".to_owned(),
        );
    }
    if found > known {
        let finding = format!("the store has schema {found}, and this keyward {known}; {bounds}");
        let meaning = "a newer keyward brought it up to date; what it added was not looked at";
        return Diagnosis::bad(check, Severity::Warning, finding, meaning, "update keyward on this machine".to_owned());
    }
    Diagnosis::ok(check, format!("the store has schema {found}; {bounds}"))
}

fn role(role: &RoleCheckup) -> Vec<Diagnosis> {
    let (name, kind) = (&role.name, role.kind.name());
    let lacks = if role.lacks.is_empty() {
        let may = match role.kind {
            ServerRole::Admin => "manage keys",
            _ => "verify",
        };
        Diagnosis::ok("rights", format!("the role {name} has the rights to {may}"))
    } else {
        Diagnosis::bad(
            "rights",
            Severity::Problem,
            format!("the role {name} lacks rights that {kind} has: {}", some(&role.lacks)),
            "commands that need them are refused",
            format!("have the owner of the tables run what `keyward store grants` prints, and: GRANT {kind} TO {name}"),
        )
    };
    let advice = "for daily work, a role with less is enough: keyward store grants";
    let more = if role.is_superuser {
        format!("the role {name} is a superuser, whom the server refuses nothing; {advice}")
    } else if role.is_owner {
        format!("the role {name} owns the tables, and can change the history; {advice}")
    } else if role.exceeds.is_empty() {
        return vec![lacks];
    } else {
        let finding = format!("the role {name} has rights that {kind} has not: {}", some(&role.exceeds));
        let meaning = "whoever signs in with it can do more than keyward needs";
        let remedy = "take them from it: REVOKE, or run what `keyward store grants` prints".to_owned();
        return vec![lacks, Diagnosis::bad("spare_rights", Severity::Warning, finding, meaning, remedy)];
    };
    vec![lacks, Diagnosis::ok("spare_rights", more)]
}

fn durability(found: &Durability) -> Vec<Diagnosis> {
    let mut findings = vec![];
    let off = [("fsync", found.fsync), ("full_page_writes", found.full_page_writes)];
    let off: Vec<_> = off.into_iter().filter(|(_, is_on)| *is_on == Some(false)).map(|(name, _)| name).collect();
    findings.push(if off.is_empty() {
        Diagnosis::ok("disk", "the server writes what is committed to its disk")
    } else {
        Diagnosis::bad(
            "disk",
            Severity::Problem,
            format!("the server has {} off", off.join(" and ")),
            "a power cut can damage the database beyond repair",
            format!("set {} = on in postgresql.conf", off.join(" = on and ")),
        )
    });
    let commit = found.synchronous_commit.as_deref().unwrap_or("on");
    let standbys = found.synchronous_standbys.as_deref().unwrap_or_default();
    let waits = if standbys.is_empty() {
        let connected = match found.standbys {
            0 => String::new(),
            number => format!(" ({} connected)", count(number, "standby")),
        };
        format!(
            "a commit waits for no standby{connected}: one that takes over may lack the last changes, revocations too; \
             synchronous_standby_names prevents it"
        )
    } else {
        format!("a commit waits for the standbys that synchronous_standby_names names: {standbys}")
    };
    findings.push(Diagnosis::ok("standbys", format!("{waits}; synchronous_commit is {commit}")));
    findings
}

fn collation(columns: &[String]) -> Diagnosis {
    if columns.is_empty() {
        return Diagnosis::ok("collation", "texts compare byte by byte");
    }
    Diagnosis::bad(
        "collation",
        Severity::Problem,
        format!("texts do not compare byte by byte: {}", some(columns)),
        "lists and filters can leave keys out",
        "give them their collation back: ALTER TABLE … ALTER COLUMN … TYPE text COLLATE \"C\"".to_owned(),
    )
}

fn sequences(tables: &[String]) -> Diagnosis {
    if tables.is_empty() {
        return Diagnosis::ok("sequences", "new rows get numbers that no other row has");
    }
    let set = |table: &String| format!("SELECT setval(pg_get_serial_sequence('{table}', 'id'), max(id)) FROM {table}");
    Diagnosis::bad(
        "sequences",
        Severity::Problem,
        format!("the next row would get the number of another one in {}", some(tables)),
        "what is made next is refused, until the numbers are free",
        tables.iter().map(set).collect::<Vec<_>>().join("; "),
    )
}

fn dead_rows(DeadRows { live, dead, .. }: DeadRows) -> Diagnosis {
    let finding = format!("the uses of keys left {dead} dead rows beside {live}");
    if dead <= MANY || dead <= live {
        return Diagnosis::ok("dead_rows", finding);
    }
    Diagnosis::bad(
        "dead_rows",
        Severity::Warning,
        finding,
        "they take room, and make every use of a key slower",
        "see why autovacuum does not clear them away; at once: VACUUM key_use".to_owned(),
    )
}

/// The first of them, and how many more there are.
fn some(items: &[String]) -> String {
    let shown = items.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    match items.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown}, and {more} more"),
    }
}
