//! A store that several hosts share: everything that its operators must know, on one page.

use super::topics::{Part, Rows, terms};

const START: &str = "\
# on the server, as its administrator
createuser keyward_owner --pwprompt
createdb keyward --owner keyward_owner
# anywhere, as the owner
export KEYWARD_STORE=postgres://keyward_owner@db.example.org/keyward
keyward store init
keyward --store /var/lib/keyward/keys.db store move --to \"$KEYWARD_STORE\"     # if there is a store already
# roles for people who manage keys, and for hosts that only check them
keyward store grants | psql -h db.example.org -U postgres keyward
psql -h db.example.org -U postgres keyward <<'SQL'
CREATE ROLE ann LOGIN PASSWORD '…' IN ROLE keyward_admin;
CREATE ROLE guard LOGIN PASSWORD '…' IN ROLE keyward_verify;
SQL
# on each guarded host
KEYWARD_STORE=postgres://guard@db.example.org/keyward keyward serve --scope read";

const PARAMETERS: Rows = &[
    ("schema", "the schema that the tables are in: keyward, where nothing is said"),
    ("sslmode", "verify-full, where nothing is said, or disable. See TLS"),
    (
        "sslrootcert",
        "a file with the certificates of authorities that are trusted, or system for those of this machine",
    ),
    ("sslcert, sslkey", "files with the certificate of this client and its key, where the server wants one"),
    ("passfile", "a file with passwords, in the place of ~/.pgpass"),
    ("connect_timeout", "how many seconds each host may take to let keyward in: 5, where nothing is said"),
    ("application_name", "what the server calls these connections in its log"),
    ("target_session_attrs", "read-write, and nothing else: keyward goes to the server that takes changes"),
];

const DEADLINES: Rows = &[
    ("connecting", "5 s for each host: its name, TLS and the sign-in"),
    ("a statement", "10 s; also each wait for the store's lock, while somebody else changes something"),
    ("a commit", "15 s. It may wait for a synchronous standby"),
    ("a guard", "0.8 s for the end of the history; then the answer is 503, and a thread connects again"),
];

const LOST: Rows = &[
    ("keyward is killed", "nothing that was reported. A guard loses the uses that it counted in the last 100 ms"),
    (
        "the network is cut during a change",
        "nothing. keyward connects again, for 10 s, and looks whether the change was made. It says so with the warning \
         commit_confirmed_late, or reports that it was not made. Where no server can be asked, the error is \
         unknown_outcome, a secret that was delivered stays where it is, and the same command again (create with --ensure) \
         finishes what was begun",
    ),
    (
        "the server is killed",
        "nothing that was reported, as long as its disk keeps what it wrote: fsync and full_page_writes have to be on",
    ),
    (
        "failover to a synchronous standby",
        "nothing. Name all servers in the URL: postgres://a,b/keyward goes to the one that takes changes",
    ),
    (
        "failover to an asynchronous standby",
        "the changes that it had not received, and with them what was revoked then. A program that had seen a later state \
         refuses to go on: store_rewound, and 503 of a guard until it is started again. A program that is started \
         afterwards cannot know. synchronous_standby_names on the server prevents it",
    ),
];

/// What a move does to the former place.
const MOVING: &str = "From the start of a move, the former place can only be read: list, show, history, usage, export, doctor, \
     backup and store copy. Whatever would change it or verify is refused with store_moved, and guards that use it answer 503 \
     until they are started with the new one. A move that was ended in between is finished by the same command again. A store \
     can be moved back to where it was, as long as nothing was done there since. To copy or move into a database, sign in as \
     the role that owns its tables.";

/// The parts of the topic.
pub(super) fn parts() -> Vec<Part> {
    let mut parts = vec![
        Part::Text(
            "A store is a file of one machine. Where several hosts are to mint, verify and guard with the same keys, it is a \
             schema in a PostgreSQL database (14 or later): name its URL in the place of a path, with --store or in \
             KEYWARD_STORE. Every command, flag, exit code and JSON field stays as it is. What is disabled on one host is \
             refused on all others from the next request on.",
        ),
        Part::Lines("sh", START),
        Part::Heading("The URL".to_owned()),
        Part::Text(
            "postgres://USER@HOST:PORT/DATABASE, or postgresql://. Several hosts stand beside each other, \
             postgres://a,b:5433/DATABASE; over a Unix socket, the folder of the socket stands there with its slashes as \
             %2F: postgres://%2Frun%2Fpostgresql/DATABASE. Without a user, it is the one who runs keyward. Behind a question \
             mark may stand, with & between them:",
        ),
    ];
    parts.extend(terms(PARAMETERS));
    parts.extend([
        Part::Text(
            "The password comes from PGPASSWORD, else from the passfile that the URL or PGPASSFILE names, else from \
             ~/.pgpass, which nobody else may be able to read. In an argument it is refused, because others can see \
             arguments; in KEYWARD_STORE it is taken with a warning. No other variable of PostgreSQL's is read.",
        ),
        Part::Heading("TLS".to_owned()),
        Part::Text(
            "The server needs ssl = on in postgresql.conf, and a line in pg_hba.conf that lets the hosts in: hostssl keyward \
             all 10.0.0.0/8 scram-sha-256. Over TCP, it has to show a certificate for the name that the URL has, signed by \
             an authority that is trusted. sslmode=disable is allowed for Unix sockets and for addresses of this machine. There is no mode in \
             between: what crosses the network is the hashes. The sign-in is bound to the certificate where the server \
             offers that (SCRAM-SHA-256-PLUS).",
        ),
        Part::Heading("Deadlines".to_owned()),
        Part::Text("Every wait for the server has an end. After it, the exit code is 6:"),
    ]);
    parts.extend(terms(DEADLINES));
    parts.extend([
        Part::Heading("Making and moving a store".to_owned()),
        Part::Text(
            "keyward store init makes the schema and its tables, and nothing else does: a mistyped URL cannot make a second \
             store. keyward store copy --to STORE copies a whole store, from a file to a server, back, or between servers; \
             keyward store move does the same and closes the one that it came from, which names the new place from then on. \
             The target has to be empty. Everything is written in one transaction, read again and compared. Secrets, their \
             hashes, the history and the counts of uses are the same afterwards, and clients notice nothing.",
        ),
        Part::Text(MOVING),
        Part::Text(
            "keyward backup FILE writes a store in a file, which any keyward can open and verify with, and which store copy \
             brings back. pg_dump works as for every other schema. keyward restore keeps revoked what was revoked since, \
             and writes the former store into a file beside the backup; only the role that owns the tables may do it.",
        ),
        Part::Heading("Roles".to_owned()),
        Part::Text(
            "The role that makes the store owns it. keyward store grants prints the SQL for two others, and can be run \
             again. keyward_admin may do all that keyward does with keys, adds to the history, and can neither change nor \
             remove what stands there. keyward_verify verifies, guards and counts uses; it cannot change keys, read the \
             history or take the store's lock. What a role may not do is refused with not_permitted.",
        ),
        Part::Heading("Guards".to_owned()),
        Part::Text(
            "A guard asks the server for the end of the history, one time for all requests that wait at that moment, and \
             uses what it knows only if that is still the same. Without an answer there is no yes: 503. serve --stale-for \
             5s lets keys that matched before go on for 5 s; what is revoked meanwhile stays allowed for that long, and each \
             such answer has the header X-Keyward-Stale.",
        ),
        Part::Text(
            "Uses are written every 100 ms and counted exactly, without the store's lock. A quota (a limit for a day or a \
             month) is that of all guards together, give or take what the others let through in the last 100 ms; a rate is \
             that of each guard. verify counts both exactly.",
        ),
        Part::Heading("The time".to_owned()),
        Part::Text(
            "A change has the time of the server. A host whose clock is more than 2 s off is told (clock_skew), one that is \
             more than a minute off changes nothing. Whether a key has expired is decided by the clock of the host.",
        ),
        Part::Heading("What is lost when".to_owned()),
    ]);
    parts.extend(terms(LOST));
    parts.extend(surroundings());
    parts
}

/// Around a store: poolers, upgrades, sizes, servers.
fn surroundings() -> Vec<Part> {
    vec![
        Part::Heading("Poolers".to_owned()),
        Part::Text(
            "PgBouncer works, also with pool_mode = transaction: no more is needed of a session than its first message \
             sets, and each transaction sets it again.",
        ),
        Part::Heading("Upgrading".to_owned()),
        Part::Text(
            "keyward store migrate, as the owner, brings the tables to what this keyward knows; no other command does. A \
             migration only adds, so an older keyward goes on working with the newer tables: hosts can be upgraded one \
             after the other, before or after it. Where that does not hold, the release notes say so, and the older \
             keyward refuses with store_newer.",
        ),
        Part::Heading("How large".to_owned()),
        Part::Text(
            "Measured with the server on the same machine, two processors for everything: verify takes 1.5 times as long as \
             on a file; a guard decides 0.83 times as often, with one read of the server for 8 decisions; 8 programs together \
             made 690 changes a second; a million keys are copied to a server in 0.27 of the time in which psql takes the \
             same rows as statements.",
        ),
        Part::Heading("Which servers".to_owned()),
        Part::Text(
            "PostgreSQL 15 is what the tests run on; 14 and later are supported. Managed PostgreSQL (RDS and Aurora \
             PostgreSQL, AlloyDB, Cloud SQL, Neon, Supabase) speaks the same protocol and was not tested. CockroachDB and \
             YugabyteDB were not tested either. Aurora DSQL is refused: it enforces no foreign keys.",
        ),
    ]
}
