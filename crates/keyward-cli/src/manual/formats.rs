//! The formats of manifests and of JSON, with every field, from the lists that the program itself uses for reading and
//! writing.

use super::json::shapes;
use super::topics::Part;
use crate::formats::manifest::{KINDS, fields_of};
use keyward_core::rules::setting::Setting;

/// The manifest.
pub(super) fn manifest() -> Vec<Part> {
    let mut parts = vec![
        Part::Text(
            "A manifest says what roles, tenants, groups, users and keys a store should hold. `keyward export` prints \
             one, `keyward apply FILE` makes the store match one, in a single transaction. It is TOML, with a table \
             for each thing, or JSON, with one object that has the five lists.",
        ),
        Part::Lines(
            "toml",
            "[[group]]\nname = \"ci\"\n\n[[user]]\nname = \"ann\"\nrole = \"editor\"\n\n[[key]]\nname = \"deploy\"\n\
             group = \"ci\"\nowner = \"ann\"\nscopes = [\"rest\"]\nallowed_ips = [\"10.0.0.0/8\"]\nexpires_at = \"90d\"\n\
             labels = { team = \"web\" }\ndeliver = { secret_file = \"/run/secrets/deploy\" }",
        ),
        Part::Lines("json", "{\"group\": [{\"name\": \"ci\"}], \"key\": [{\"name\": \"deploy\", \"group\": \"ci\"}]}"),
        Part::Text(
            "What is left out has its default, also in what is there already: a manifest says all there is to say \
             about what it names. Only `prefix` and `expires_at` are left as they are where they are not named. What is \
             not named at all \
             stays, unless `--prune` is given; then it is deleted. An empty text, an empty list and null all stand \
             for nothing.",
        ),
        Part::Text(
            "A duration in `expires_at` counts from when the key is made. The duration that a key was given already, by a \
             manifest or by hand, changes nothing, whatever the clock did meanwhile; another one counts from when the \
             key was made. A new key without `expires_at` ends as the setting `default-lifetime` says; an existing key keeps its end. \
             Names are looked up in the manifest first, then in the store. Unknown fields are refused; all \
             mistakes are reported at once, each with its file, line and column.",
        ),
        Part::Text(
            "A limit is a text, N/PERIOD or N/PERIOD:BURST, or the object that `keyward export --json` prints. A period is \
             1s to 1h, 1d or 1mo. Up to an hour, N requests pass in a period on the average, and BURST at once (N, where \
             no burst is given). A day and a month are those of the calendar, in UTC, and have no burst. There is one \
             limit a period, and 8 at most.",
        ),
        Part::Lines(
            "toml",
            "limits = [\"100/1m:20\", \"10000/1d\"]\n\
             limits = [{ count = 100, period = \"1m\", burst = 20 }, { count = 10000, period = \"1d\" }]",
        ),
    ];
    for kind in KINDS {
        parts.push(Part::Heading(format!("Fields of a {}", kind.as_str())));
        for field in fields_of(kind) {
            let meaning = match *field {
                "name" => "letters, digits and . _ - @ /; unique among its kind",
                "description" => "a line of text",
                "rank" => "its place among the roles, from 0; higher ranks may do more",
                "manages_keys" => "true: users in it may manage keys of its rank and below",
                "enabled" => "false: its keys are suspended",
                "role" => "the most that the user may do",
                "limits" => "how often all of its keys together may be used, as for a key",
                _ => "the tenant of the user, and of the keys that they make",
            };
            parts.push(Part::Term((*field).to_owned(), meaning.to_owned()));
        }
    }
    parts.push(Part::Heading("Fields of a key".to_owned()));
    parts.push(Part::Term("name".to_owned(), "letters, digits and . _ - @ /; unique in a store".to_owned()));
    for setting in Setting::ALL {
        parts.push(Part::Term(setting.name.to_owned(), setting.purpose.to_owned()));
    }
    parts.push(Part::Term("deliver".to_owned(), "where the secret goes when the key is made; see below".to_owned()));
    parts.extend([
        Part::Heading("Delivery".to_owned()),
        Part::Text(
            "The secret of a key that is made goes to one place: the one that its `deliver` table names, or else a \
             file in the folder of `--secrets-dir`, with the name of the key, in which a / is written %2F. Paths are \
             seen from the folder in which keyward was started.",
        ),
    ]);
    for (place, meaning) in [
        ("secret_file", "a new file of mode 0600"),
        ("env_file, env_name", "a variable in a dotenv file, the rest of which stays as it is"),
        ("secret_to", "the standard input of a command, which a shell reads"),
        (
            "github_env",
            "a variable of the steps that follow in GitHub Actions; no name that the runner keeps for itself",
        ),
        ("github_output", "an output of this step in GitHub Actions; the same names are refused"),
    ] {
        parts.push(Part::Term(place.to_owned(), meaning.to_owned()));
    }
    parts
}

/// What is printed with `--json`.
pub(super) fn json() -> Vec<Part> {
    let mut parts = vec![Part::Text(
        "With --json, a command prints one document on standard output, on one line or, for lists, with an item a \
         line. Errors are one object on standard error. Fields are only ever added, never renamed or removed, and \
         what is absent is null, never missing. Times are RFC 3339 in UTC, with a Z and whole seconds. \
         `keyward export --json` prints a manifest, which `keyward help manifest` describes. create, edit and \
         delete of groups, users, roles and tenants print the object below its kind's name, with an `outcome` \
         beside it, and for delete the number of `deleted_keys`; enable and disable of users and tenants print a \
         list of such. `verify --quiet` prints nothing at all: its answer is the exit code.",
    )];
    for shape in shapes() {
        parts.push(Part::Heading(format!("{} ({})", capital(shape.name), shape.printed_by)));
        for (field, kind, meaning) in shape.fields.iter() {
            parts.push(Part::Term((*field).to_owned(), format!("{}: {meaning}", kind.in_words())));
        }
    }
    parts
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
