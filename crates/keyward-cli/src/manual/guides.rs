//! What goes across commands: checking requests, limits, provisioning, the file of the store.
//!
//! Each is a topic of `keyward help` and a page of section 7. What belongs to one command stands in its help and is not
//! repeated here.

use super::topics::{Part, terms};

const GUARD: &str = "\
guard() {
    printf 'Authorization: %s' \"$HTTP_AUTHORIZATION\" |
        keyward verify --quiet --transport https --method \"$REQUEST_METHOD\" --ip \"$REMOTE_ADDR\" --scope deploy
}
guard && echo \"go on\"";

/// How a script asks.
pub(super) fn checking() -> Vec<Part> {
    let mut parts = vec![
        Part::Text(
            "`keyward verify` answers with its exit code, so a script needs to parse nothing: 0 is yes, 3 is HTTP's \
             401, 4 its 403 and 9 its 429. 6 means that there is no answer, because the store could not be used: \
             treat that as a failure of your own, not as a refusal. A function for a script behind a webhook:",
        ),
        Part::Lines("sh", GUARD),
        Part::Text(
            "With --request, the input is the head of a whole HTTP request, in which keyward finds the credential \
             wherever clients put it; `keyward help verify` lists the places. Two different credentials are \
             refused, and the answer names both places. What cannot be a credential of keyward's is ignored, for \
             example somebody else's password in Basic. If your application has a token of its own in one of these \
             places, name the places that count: `--accept x_api_key`.",
        ),
        Part::Text(
            "A check costs one Argon2id, about 20 ms by default, and a few milliseconds for everything else, with \
             ten keys or a million. The hash is meant to cost that: a guess costs as much. To check many requests, \
             use one `keyward verify --batch`. It uses all processors, and a credential that has matched once costs \
             no second hash; a key that is disabled meanwhile is refused from the next line on.",
        ),
        Part::Heading("Behind a proxy".to_owned()),
        Part::Text(
            "Name the headers that your proxy writes. No other one is read, because a proxy passes on what it does \
             not write as the client sent it. If a header was there and was not taken, the answer says which and \
             why.",
        ),
    ];
    parts.extend(terms(&[
        (
            "--trust-forwarded=for,proto",
            "the proxy writes X-Forwarded-For and X-Forwarded-Proto, as nginx does with the two lines in `keyward \
             help verify`",
        ),
        (
            "--trust-forwarded=for --transport https",
            "it writes only X-Forwarded-For, and clients reach it only over TLS",
        ),
        ("--trust-forwarded=proto --ip ADDRESS", "it writes only X-Forwarded-Proto"),
        ("--trust-forwarded=forwarded", "it writes Forwarded (RFC 7239)"),
    ]));
    parts
}

/// What a limit counts, and who sees it.
pub(super) fn limits() -> Vec<Part> {
    vec![
        Part::Text(
            "A limit says how often a key may be used: N/PERIOD or N/PERIOD:BURST. Keys, users and tenants can have \
             several, and all of them count. Those of a user and of a tenant hold for all of their keys together.",
        ),
        Part::Lines(
            "sh",
            "keyward create partner --limit 2/1h --limit 10000/1d\n\
             keyward edit partner --remove-limit 2/1h --add-limit 20/1m:40\n\
             keyward tenant edit acme --limit 50000/1mo\n\
             keyward usage partner --by month",
        ),
        Part::Text(
            "Up to an hour, 20/1m:40 lets 20 requests pass in a minute on average, and 40 at once after a quiet \
             time. A day and a month are those of the calendar, in UTC. A refused request uses nothing up, whatever \
             the reason.",
        ),
        Part::Text(
            "`verify` counts exactly, however many processes ask at once. `verify --batch` and `serve` count in \
             memory and write to the store once a second: two of them side by side may let through what the other \
             one counted in that second. A limit that cannot be counted, because the store cannot be written, \
             refuses: exit code 6, or 503 from `serve`.",
        ),
        Part::Text(
            "`serve` answers 429 with Retry-After and the RateLimit headers. `serve --limit 1000/1m`, or `limits` \
             of a policy, is for keys that have no limit of their own.",
        ),
        Part::Text(
            "`keyward usage` shows how often keys were used and refused; with a key, also what is left of its \
             limits. The calls of each key are kept by hour for 400 days (`settings set usage-retention`), with the \
             address that its last call came from. Nothing is kept about credentials that are not genuine.",
        ),
    ]
}

const ACTIONS: &str = "\
- name: a key for this job
  env:
    KEYWARD_STORE: /srv/keyward/keys.db
  run: |
    keyward create \"ci/$GITHUB_RUN_ID-$GITHUB_RUN_ATTEMPT\" --scope deploy --expires 1h --github-env DEPLOY_KEY";

const SYSTEMD: &str = "\
[Service]
ExecStartPre=+keyward create reports --ensure --rotate-if-missing --secret-file /etc/keyward/reports.key
LoadCredential=api-key:/etc/keyward/reports.key
ExecStart=/bin/sh -c 'exec reports --key-file \"$CREDENTIALS_DIRECTORY/api-key\"'";

const MAKE: &str = "\
.env: keys.toml
\tkeyward apply keys.toml
\tkeyward create dev --ensure --scope rest --env-file .env --env-name API_KEY --rotate-if-missing
\ttouch .env";

/// Keys that scripts and services make for themselves.
pub(super) fn provisioning() -> Vec<Part> {
    vec![
        Part::Text(
            "A secret can go straight to where it belongs, and is not shown then: into a file (--secret-file), a \
             dotenv file (--env-file), a command (--secret-to), a step of GitHub Actions (--github-env, \
             --github-output) or the clipboard (--copy). `keyward help create` describes each. With --force, a file \
             that is replaced keeps its owner and group.",
        ),
        Part::Text(
            "The key is made only if the delivery succeeds; otherwise there is no key, and the exit code is 7. A \
             crash in between leaves at most a secret that opens nothing. While a secret is on its way, nobody else \
             can mint for the same name or rotate the same key: they get `conflict`, and may try again.",
        ),
        Part::Text(
            "`create --ensure` can be run again and again: it makes the key, or changes the settings that differ, \
             or does nothing. If the secret goes to a file, it checks that the secret in the file still works; \
             --rotate-if-missing puts a new one there if not. A whole store can be kept as a manifest: see `keyward \
             help apply` and `keyward help manifest`.",
        ),
        Part::Heading("GitHub Actions".to_owned()),
        Part::Text(
            "A step that mints a key for the job, hands it to the steps that follow, and does no harm when it runs \
             again. It is for a runner of your own, whose disk stays. On one of GitHub's, the store would be a new \
             one and gone with the job, so nothing could check the key: there, let the step ask a machine that has \
             the store.",
        ),
        Part::Lines("yaml", ACTIONS),
        Part::Heading("systemd".to_owned()),
        Part::Text("A service that gets its key as a credential, which no other service can read:"),
        Part::Lines("ini", SYSTEMD),
        Part::Heading("make".to_owned()),
        Part::Text("A target that makes the key together with the dotenv file that the service is started from:"),
        Part::Lines("make", MAKE),
        Part::Heading("cron".to_owned()),
        Part::Text("cron mails what a command prints. This one prints only if keys expire in the next two weeks:"),
        Part::Lines("cron", "0 7 * * 1 keyward list --expires-within 14d --state active --quiet"),
        Part::Heading("A gate for CI".to_owned()),
        Part::Text("It fails if a key expires soon, or if the store is not what the manifest says:"),
        Part::Lines(
            "sh",
            "keyward list --expires-within 14d --fail-if-any && keyward apply keys.toml --dry-run --fail-if-any",
        ),
    ]
}

/// The store of one machine.
pub(super) fn file_store() -> Vec<Part> {
    let mut parts = vec![
        Part::Text(
            "The store is one SQLite file: the one that --store names, else the one in KEYWARD_STORE, else keys.db \
             in the data folder of the platform (on Linux ~/.local/share/keyward). The first command that writes \
             makes it, with mode 0600 in a folder of mode 0700. These permissions are the security boundary: \
             anybody who can write the file decides about your keys, and anybody who can read it sees their names \
             and restrictions, but no secret. --as USER says who acts, for the history and against mistakes; it \
             does not stop anybody who can write the file.",
        ),
        Part::Text(
            "keyward refuses a store that every user of the machine can write, and warns about one that others can \
             read. The store needs a local file system: SQLite's write-ahead log uses shared memory, which network \
             file systems do not have.",
        ),
        Part::Heading("Containers".to_owned()),
        Part::Text(
            "The log is a file beside the store, keys.db-wal, and belongs to it: after a `verify`, the last uses \
             stand there until a later command moves them over. So give a container the folder, never the file. A \
             file that is mounted by itself, or has a second name by a hard link, has two logs: a key that is \
             disabled under one name stays allowed under the other. keyward refuses such a file by the name that \
             was mounted, and by either name of a link. The first name of a mounted file does not show that there \
             is another one.",
        ),
    ];
    parts.extend(terms(&[
        ("Docker", "`-v /srv/keyward:/srv/keyward -e KEYWARD_STORE=/srv/keyward/keys.db`; refused: `-v /srv/keyward/keys.db:/keys.db`"),
        ("Kubernetes", "`mountPath: /srv/keyward`; refused: `mountPath: /srv/keyward/keys.db` with `subPath: keys.db`"),
        ("systemd", "`BindPaths=/srv/keyward`; refused: `BindPaths=/srv/keyward/keys.db`"),
    ]));
    parts.extend([
        Part::Heading("Backups".to_owned()),
        Part::Text(
            "`keyward backup FILE` copies the store while others use it, and checks the copy. A backup is a store: \
             `keyward --store FILE list` shows what is in it. `keyward restore FILE` puts it in the place of the \
             store; programs that use the store need not stop.",
        ),
        Part::Text(
            "A backup knows nothing of what happened since. A plain copy of it over the store would bring back \
             every key that was deleted or disabled in the meantime, and every secret that was replaced because it \
             had leaked. So `restore` compares the two, revokes again what was revoked since, and lists it. It \
             keeps the former store beside the new one. With --as-it-was it leaves all of that out, and what was \
             revoked since works again. That is needed if the present store is damaged or the backup is not one of \
             it, because then nobody can tell what was revoked.",
        ),
        Part::Text("To do the same by hand, first stop everything that uses the store, and remove its log:"),
        Part::Lines("sh", "rm -f keys.db-wal keys.db-shm; cp FILE keys.db"),
        Part::Text(
            "A program that has the store open and finds an older copy in its place answers nothing until it is \
             started again. A log that belongs to another file is refused.",
        ),
        Part::Heading("Secrets".to_owned()),
        Part::Text(
            "A secret looks like kw_81h3n2p0gq6c_…: a prefix, a public id, 256 random bits and a checksum. The id \
             finds the hash, Argon2id (19 MiB, 2 passes) makes a stolen hash useless, and the checksum tells a \
             typing error from a wrong secret and lets scanners recognise a leaked one. A secret that turns up in a \
             log leads to its key, even one that was deleted: `keyward history PUBLIC-ID`.",
        ),
    ]);
    parts
}
