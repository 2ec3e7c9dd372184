//! What `keyward help import` shows behind the flags' explanation: examples, and recipes for other systems.
//!
//! A test takes each recipe out of this text and runs it on an export of the other system. If a system can hold something
//! other than a text (a reference, another kind of hash, a login name), the recipe leaves it out or the import refuses it:
//! as a secret, it could be known to anybody.

/// The examples and the recipes.
pub(super) const EXAMPLES: &str = r#"Examples:
  keyward import keys.jsonl --dry-run
  keyward import keys.jsonl
  keyward import clients.csv --yes

Recipes:
  # They need bash and jq. Each ends with --dry-run: compare the number of
  # keys with that of the other system, then run it again without --dry-run.

  # Paste this first: all but the last recipe use it. What a name cannot hold
  # becomes -, a second NAME becomes NAME-2, and a tag becomes a label without
  # a value. A key that has no expiry there gets what the store gives to new
  # keys.
  records() { jq -cn '[inputs | .name |= gsub("[^A-Za-z0-9._@/-]"; "-")
    | .labels += ([.tags[]? | {(gsub("[^A-Za-z0-9._/-]"; "-")): ""}] | add)
    | del(.tags) | with_entries(select(.value != null))] | group_by(.name)[]
    | to_entries[] | .value
    + (if .key == 0 then {} else {name: "\(.value.name)-\(.key + 1)"} end)'; }

  # Kong: keys of the plugin key-auth, with tags and ttl.
  deck gateway dump --format json -o - | jq -c '.consumers[]
    | {name: (.username // .custom_id), tags} as $consumer
    | .keyauth_credentials[]? | $consumer + {secret: .key,
      tags: ($consumer.tags + .tags),
      expires_at: (if .ttl > 0 then "\(.ttl)s" else null end)}' |
    records | keyward import - --dry-run

  # APISIX 3: keys of the plugin key-auth, with labels and descriptions. A key
  # in a credential becomes CONSUMER/CREDENTIAL. Left out: references to keys
  # ($secret://…, $env://…). The file apisix.header has the line X-API-KEY: …
  admin() {
    curl -sS -H @apisix.header "http://127.0.0.1:9180/apisix/admin/$1"; }
  { admin consumers; admin consumers | jq -r '.list[].value.username' |
    while read -r NAME; do admin "consumers/$NAME/credentials"; done; } |
    jq -c '.list[]? | .value.plugins["key-auth"].key as $key
    | select($key and ($key | test("^[$](secret|env)://"; "i") | not))
    | {name: (.key | sub(".*/consumers/"; "") | sub("/credentials/"; "/")),
      secret: $key, labels: .value.labels, description: .value.desc}' |
    records | keyward import - --dry-run

  # Tyk, with hash_keys, enable_hashed_keys_listing and the hash_key_function
  # sha256: keys of auth tokens, with alias, tags, expiry and is_inactive.
  # Hashes of murmur are refused, because keyward cannot check them: those
  # clients need new keys. Custom keys do not work, because Tyk hashes another
  # text than clients send. Where clients send Authorization without Bearer,
  # let your proxy add it. tyk.header has the line x-tyk-authorization: …
  gateway() { curl -fsS -H @tyk.header "http://127.0.0.1:8080/tyk/$1"; }
  gateway keys | jq -r '.keys[]' | while read -r HASH; do
    gateway "keys/$HASH?hashed=true" | jq -c --arg hash "$HASH" '. + {$hash}'
  done | jq -c 'select([.basic_auth_data[]?, .jwt_data[]?, .hmac_string,
      .oauth_client_id, .certificate, .meta_data.TykJWTSessionID]
      | join("") == "") | {sha256: .hash, tags, enabled: (.is_inactive | not),
      name: (if (.alias // "") == "" then .hash[:12] else .alias end),
      expires_at: (if .expires > 0 then .expires | todate else null end)}' |
    records | keyward import - --dry-run

  # Unkey on a server of your own: its table of keys, with expiry and enabled.
  # Left out: deleted keys, root keys, and keys that Unkey has yet to migrate.
  # Ratelimits and remaining uses do not come along.
  mysql -NBr -e "SELECT JSON_OBJECT('name', COALESCE(NULLIF(name, ''), id),
      'sha256', hash, 'enabled', enabled, 'expires', expires) FROM unkey.keys
    WHERE deleted_at_m IS NULL AND for_workspace_id IS NULL
      AND pending_migration_id IS NULL" | jq -c '.enabled |= (. == 1)
    | .expires_at = (.expires | if . then "\(.[:10])T\(.[11:19])Z" else . end)
    | del(.expires)' | records | keyward import - --dry-run

  # A spreadsheet, saved as CSV with commas and in UTF-8: name its columns.
  sed '1s/.*/name,secret,expires_at,labels/' clients.csv |
    keyward import - --dry-run

To undo the imports of the last hour:
  keyward history --action key.import --since 1h --json |
    jq -r '.[].subject_id' | xargs -r keyward delete --yes"#;
