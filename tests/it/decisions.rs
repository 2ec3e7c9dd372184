//! What `verify` decides, as a table: a key, a request, every check that fails, and the status.
//!
//! The rules have a smaller table of their own in `crates/keyward-core/src/rules/decision_tests.rs`. This one goes
//! through the command line: flags of `create` and `verify`, the directory, rotation, store settings, and every way to
//! present a secret. Properties that need flags follow the table.

use std::cell::RefCell;
use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::ToSpan as _;
use keyward_core::rules::token::{Id, Secret};
use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::harness::{Sandbox, words};

/// flags of `create` > commands that follow | flags of `verify` | what is presented | every failing check | status
///
/// What is presented: `{S}`, the secret from `create`; `{N}`, the one from the last `rotate`; `{T}`, another key's
/// secret; and three that were never issued (see [`Holder::fill`]). `{NAME}` is the name of the key; `B(…)` is the
/// base64 of `…`. With `--request`, ` ; ` ends a header line with CRLF, or with LF after the word `LF`; a line that
/// starts with a space is folded.
const TABLE: &str = r#"
# What was presented, before any key is looked at.
 |                             |                                                              | no_credential        | 401
 |                             | {SP}{TAB}                                                    | no_credential        | 401
 |                             | x-api-key:                                                   | no_credential        | 401
 |                             | Authorization: Digest username=x                             | no_credential        | 401
 |                             | /a?x=1                                                       | no_credential        | 401
 |                             | https://h/a?x=1#?_auth_key={S}                               | no_credential        | 401
 | --request                   | GET / HTTP/1.1 ; Host: h                                     | no_credential        | 401
 | --request                   | GET / HTTP/1.1 ; Host: h ;  ; x-api-key: {S}                 | no_credential        | 401
 |                             | Basic B({S}:{T})                                             | ambiguous_credential | 401
 |                             | /a?_auth_key={S}&_api_auth={T}                               | ambiguous_credential | 401
 | --request                   | GET / HTTP/1.1 ; x-api-key: {S} ; x-auth-key: {T}            | ambiguous_credential | 401
 | --request                   | GET / HTTP/1.1 ; x-api-key: {S} ; X-API-Key: {T}             | ambiguous_credential | 401
 | --request                   | GET /?_auth_key={T} HTTP/1.1 ; x-api-key: {S}                | ambiguous_credential | 401
 | --request                   | GET / HTTP/1.1 ; Authorization: Bearer {NAME}:{S} ; X-Ignition-API-Token: other:{S} | ambiguous_credential | 401
 |                             | nonsense                                                     | malformed            | 401
 |                             | {DAMAGED}                                                    | malformed            | 401
 |                             | {S}x                                                         | malformed            | 401
 |                             | {S}{SP}                                                      | malformed            | 401
 |                             | {S}{LF}{S}                                                   | malformed            | 401
 |                             | Authorization: {S}                                           | malformed            | 401
 |                             | X-Ignition-API-Token: {S}                                    | malformed            | 401
 |                             | Basic ???                                                    | malformed            | 401
 |                             | Basic B({S})                                                 | malformed            | 401
 | --request                   | {S}                                                          | malformed            | 401
 | --request                   | GET / HTTP/4 ; x-api-key: {S}                                | malformed            | 401
 | --request                   | GET / HTTP/2.1 ; x-api-key: {S}                              | malformed            | 401
 | --request                   | PRI * HTTP/2.0                                               | malformed            | 401
 | --request                   | GET{SP}{SP}/ ; x-api-key: {S}                                | malformed            | 401
 | --request --transport https | GET / HTTP/1.1 ; x-api-key: {DAMAGED}                        | malformed            | 401
 |                             | {UNKNOWN}                                                    | not_genuine          | 401
 |                             | {FORGED}                                                     | not_genuine          | 401
 |                             | wrong:{S}                                                    | not_genuine          | 401
 |                             | :{S}                                                         | not_genuine          | 401
 |                             | {NAME}:{T}                                                   | not_genuine          | 401
 |                             | Bearer wrong:{S}                                             | not_genuine          | 401
 |                             | X-Ignition-API-Token: wrong:{S}                              | not_genuine          | 401
 | --request --transport https | GET / HTTP/1.1 ; x-api-key: {S} ; Authorization: Bearer wrong:{S} | not_genuine          | 401

# Each presentation as a local call, over http and over https.
                 |                             | {S}                                                 |                    | 200
                 | --transport http            | {S}                                                 | insecure_transport | 403
                 | --transport https           | {S}                                                 |                    | 200
                 | --transport local           | {S}{LF}                                             |                    | 200
                 |                             | {NAME}:{S}                                          |                    | 200
                 | --transport http            | {NAME}:{S}                                          | insecure_transport | 403
                 | --transport https           | {NAME}:{S}                                          |                    | 200
                 |                             | Bearer {S}                                          |                    | 200
                 | --request                   | GET / HTTP/1.1 ; Authorization: Bearer {S}          | insecure_transport | 403
                 | --request                   | GET https://h/ HTTP/1.1 ; Authorization: Bearer {S} |                    | 200
                 |                             | Authorization: bEARER {NAME}:{S}                    |                    | 200
                 | --request                   | GET / HTTP/1.1 ; Authorization: Bearer {NAME}:{S}   | insecure_transport | 403
                 | --request --transport https | GET / HTTP/1.1 ; Authorization: Bearer {NAME}:{S}   |                    | 200
                 |                             | rest_api_key={S}                                    |                    | 200
                 | --request                   | GET / HTTP/1.1 ; Authorization: rest_api_key={S}    | insecure_transport | 403
                 | --request --transport https | GET / HTTP/1.1 ; authorization: rest_api_key={S}    |                    | 200
                 |                             | Basic B({S}:)                                       |                    | 200
                 | --request                   | GET / HTTP/1.1 ; Authorization: Basic B({S}:x)      | insecure_transport | 403
                 | --request --transport https | GET / HTTP/1.1 ; Authorization: Basic B(user:{S})   |                    | 200
                 |                             | X-Ignition-API-Token: {NAME}:{S}                    |                    | 200
                 | --request                   | GET / HTTP/1.1 ; X-Ignition-API-Token: {NAME}:{S}   | insecure_transport | 403
                 | --request --transport https | GET / HTTP/1.1 ; x-ignition-api-token: {NAME}:{S}   |                    | 200
                 |                             | x-auth-key: {S}                                     |                    | 200
                 | --request                   | GET / HTTP/1.1 ; x-auth-key: {S}                    | insecure_transport | 403
                 | --request --transport https | GET / HTTP/1.1 ; X-AUTH-KEY: {S}                    |                    | 200
                 |                             | x-api-auth: {S}                                     |                    | 200
                 | --request                   | GET / HTTP/1.1 ; x-api-auth: {S}                    | insecure_transport | 403
                 | --request --transport https | GET / HTTP/1.1 ; x-api-auth: {S}                    |                    | 200
                 |                             | x-api-key: {S}                                      |                    | 200
                 | --request                   | GET / HTTP/1.1 ; x-api-key: {S}                     | insecure_transport | 403
                 | --request --transport local | GET / HTTP/1.1 ; x-api-key: {S}                     |                    | 200
                 |                             | apiKey: {S}                                         |                    | 200
                 | --request                   | GET / HTTP/1.1 ; apiKey: {S}                        | insecure_transport | 403
                 | --request --transport https | GET / HTTP/1.1 ; apikey: {S}                        |                    | 200
                 |                             | https://h/a?x=1&_auth_key={S}#f                     |                    | 200
                 | --request                   | GET /?_auth_key={S} HTTP/1.1 ; Host: h              | insecure_transport | 403
                 | --request                   | GET https://h/?_auth_key={S} HTTP/1.1 ; Host: h     |                    | 200
                 |                             | /a?_api_auth={S}                                    |                    | 200
                 | --request                   | GET http://h/?_api_auth={S} HTTP/1.1 ; Host: h      | insecure_transport | 403
                 | --request --transport https | GET /?a=%20&%5Fapi%5fauth={S} HTTP/1.1 ; Host: h    |                    | 200
--allow-insecure | --transport http            | {S}                                                 |                    | 200
--allow-insecure | --request                   | GET / HTTP/1.1 ; x-api-key: {S}                     |                    | 200
--allow-insecure | --transport https           | {S}                                                 |                    | 200

# Request heads as old and careless clients write them.
 | --request                   | GET HTTPS://h/ HTTP/1.1 ; x-api-key: {S}                     |                    | 200
 | --request                   | GET http://h/https://h/ HTTP/1.1 ; x-api-key: {S}            | insecure_transport | 403
 | --request --transport http  | GET https://h/ HTTP/1.1 ; x-api-key: {S}                     | insecure_transport | 403
 | --request --transport https | GET / HTTP/1.0 ; x-api-key: {S}                              |                    | 200
 | --request --transport https | LF GET / HTTP/1.1 ; Host: h ; x-api-key: {S}                 |                    | 200
 | --request                   | LF GET https://h/ HTTP/1.0 ; Authorization: Bearer ; {TAB}{NAME}:{S} |                    | 200
 | --request --transport https | GET / HTTP/1.1 ; Authorization: Bearer ;  {S} ; Host: h      |                    | 200
 | --request --transport https | GET / HTTP/1.1 ; Authorization: Bearer ;  wrong:{S}          | not_genuine        | 401
 | --request --transport https | GET / HTTP/1.1 ; x-api-key:{TAB}{S}{SP}{SP} ; Host: h        |                    | 200
 | --request --transport https | GET / HTTP/1.1 ; x-api-key: {S} ; x-api-key: {S}             |                    | 200
 | --request --transport https | GET / HTTP/1.1 ; x-api-key: {S} ; Authorization: Digest a=b  |                    | 200
 | --request --transport https | GET / HTTP/1.1 ; x-api-key: {S} ; Authorization: Bearer {NAME}:{S} |                    | 200

# Heads that a gateway made of a request that never looked like this on the wire.
 | --request --transport https | GET / HTTP/2 ; x-api-key: {S}                                |                    | 200
 | --request --transport https | GET / HTTP/2.0 ; x-api-key: {S}                              |                    | 200
 | --request --transport https | LF GET / HTTP/3 ; x-api-key: {S}                             |                    | 200
 | --request                   | GET https://h/ HTTP/3.0 ; x-api-key: {S}                     |                    | 200

# What cannot be a credential of ours is none.
 | --request --transport https | GET / HTTP/1.1 ; Authorization: Basic B(u:p) ; apiKey: {S}   |                      | 200
 | --request --transport https | GET / HTTP/1.1 ; apiKey: {S} ; Authorization: Basic B(u:)    |                      | 200
 | --request --transport https | GET / HTTP/1.1 ; apiKey: {S} ; Authorization: Basic ???      |                      | 200
 | --request --transport https | GET / HTTP/1.1 ; apiKey: {S} ; Authorization: Basic B(nocolon) |                    | 200
 | --request --transport https | GET / HTTP/1.1 ; apiKey: {S} ; Authorization: Basic          |                      | 200
 | --request --transport https | GET / HTTP/1.1 ; apiKey: {S} ; Authorization: Bearer{SP}     |                      | 200
 | --request --transport https | GET / HTTP/1.1 ; apiKey: {S} ; Authorization: rest_api_key=  |                      | 200
 | --request --transport https | GET / HTTP/1.1 ; apiKey: {S} ; Authorization:                |                      | 200
 | --request --transport https | GET / HTTP/1.1 ; apiKey: {S} ; X-Ignition-API-Token:         |                      | 200
 | --request --transport https | GET / HTTP/1.1 ; apiKey: {S} ; Authorization: Digest username="a, Bearer {T}", realm="r" | | 200
 | --request --transport https | GET / HTTP/1.1 ; apiKey: {S} ; Authorization: Negotiate      |                      | 200
 | --request --transport https | GET /?_auth_key=&_api_auth HTTP/1.1 ; apiKey: {S}            |                      | 200
 | --request                   | GET / HTTP/1.1 ; Authorization: Basic B(u:p)                 | no_credential        | 401
 | --request                   | GET / HTTP/1.1 ; Authorization: Bearer                       | no_credential        | 401
 |                             | Basic B(u:p)                                                 | no_credential        | 401
 |                             | Digest username="x", realm="y"                               | no_credential        | 401
 |                             | Basic B({DAMAGED}:x)                                         | malformed            | 401
 |                             | Basic B({S}{SP}:x)                                           | malformed            | 401
 | --request                   | GET / HTTP/1.1 ; Authorization: Basic B({DAMAGED}:x) ; apiKey: {S} | ambiguous_credential | 401
 | --request                   | GET / HTTP/1.1 ; Authorization: Basic B({T}) ; apiKey: {S}   | ambiguous_credential | 401
 | --request                   | GET / HTTP/1.1 ; Authorization: Basic B({S}) ; apiKey: {S}   | malformed            | 401
 | --request                   | GET / HTTP/1.1 ; Authorization: Bearer{TAB}{T} ; apiKey: {S} | ambiguous_credential | 401
 | --request                   | GET / HTTP/1.1 ; Authorization: Bearer{TAB}{S} ; apiKey: {S} | malformed            | 401
 | --request                   | GET / HTTP/1.1 ; X-Ignition-API-Token: {T} ; apiKey: {S}     | ambiguous_credential | 401
 | --request                   | GET / HTTP/1.1 ; Authorization: Bearer mine ; apiKey: {S}    | ambiguous_credential | 401

# Lines that somebody joined with commas are read as the lines they were.
 | --request --transport https | GET / HTTP/1.1 ; x-api-key: {S}, {S}                         |                      | 200
 | --request --transport https | GET / HTTP/1.1 ; x-api-key: {S},{S} ; apiKey: ,{TAB}{S} ,    |                      | 200
 | --request --transport https | GET / HTTP/1.1 ; Authorization: Bearer {S}, Bearer {NAME}:{S} |                     | 200
 | --request --transport https | GET / HTTP/1.1 ; Authorization: Bearer {S},{S}               |                      | 200
 | --request --transport https | GET / HTTP/1.1 ; Authorization: Basic B(u:p), Bearer {S}     |                      | 200
 | --request --transport https | GET / HTTP/1.1 ; Authorization: Bearer {S}, Basic B(u:p)     |                      | 200
 | --request --transport https | GET / HTTP/1.1 ; Authorization: Digest a="b", c=d, Bearer {S} |                     | 200
 | --request --transport https | GET / HTTP/1.1 ; X-Ignition-API-Token: {NAME}:{S}, {NAME}:{S} |                     | 200
 | --request --transport https | GET /?_auth_key={S}&_auth_key={S}&_api_auth={S} HTTP/1.1     |                      | 200
 |                             | {S}, {S}                                                     |                      | 200
 |                             | {NAME}:{S},{S}                                               |                      | 200
 |                             | Bearer {S}, Bearer {S}                                       |                      | 200
 |                             | {S}, {T}                                                     | ambiguous_credential | 401
 | --request                   | GET / HTTP/1.1 ; x-api-key: {S}, {T}                         | ambiguous_credential | 401
 | --request                   | GET / HTTP/1.1 ; Authorization: Bearer {S}, Bearer {T}       | ambiguous_credential | 401
 | --request                   | GET / HTTP/1.1 ; Authorization: Bearer {S}, {T}              | ambiguous_credential | 401
 | --request                   | GET / HTTP/1.1 ; Authorization: Basic B({T}:x), Bearer {S}   | ambiguous_credential | 401
 | --request                   | GET / HTTP/1.1 ; Authorization: Digest a="b, Bearer {T} ; apiKey: {S} | ambiguous_credential | 401

# Only the presentations that count are looked at.
 | --accept x_api_key --request --transport https | GET / HTTP/1.1 ; Authorization: Bearer mine ; x-api-key: {S} | | 200
 | --accept x_api_key --request --transport https | GET / HTTP/1.1 ; Authorization: Basic B({T}:x) ; x-api-key: {S} | | 200
 | --accept x_api_key --request --transport https | GET /?_auth_key={T} HTTP/1.1 ; x-api-key: {S} ; apiKey: {T} | | 200
 | --accept bearer,x_api_key --request            | GET / HTTP/1.1 ; Authorization: Bearer {T} ; x-api-key: {S} | ambiguous_credential | 401
 | --accept bearer --accept basic --request --transport https | GET / HTTP/1.1 ; Authorization: Basic B({S}:) ; x-api-key: {T} | | 200
 | --accept x_api_key --request                   | GET / HTTP/1.1 ; Authorization: Bearer {S}                | no_credential        | 401
 | --accept bearer --request                      | GET / HTTP/1.1 ; Authorization: Bearer {NAME}:{S}         | no_credential        | 401
 | --accept bearer_named --request --transport https | GET / HTTP/1.1 ; Authorization: Bearer {NAME}:{S}, Bearer {T} | | 200
 | --accept x_ignition_api_token                  | X-Ignition-API-Token: {NAME}:{S}                          |                      | 200
 | --accept bearer                                | {S}                                                       | no_credential        | 401
 | --accept bare                                  | {S}                                                       |                      | 200
 | --accept bare                                  | {NAME}:{S}                                                | no_credential        | 401
 | --accept query_auth_key                        | /a?_auth_key={S}&_api_auth={T}                            |                      | 200

# A proxy that writes only some of the headers is believed only in these.
--allow-ip 10.0.0.0/8    | --request --trust-forwarded=for,proto        | GET / HTTP/1.1 ; x-api-key: {S} ; X-Forwarded-For: 10.1.1.1 ; X-Forwarded-Proto: https ; Forwarded: for=203.0.113.9;proto=http | | 200
--allow-ip 10.0.0.0/8    | --request --trust-forwarded=proto,for        | GET / HTTP/1.1 ; x-api-key: {S} ; Forwarded: for=10.1.1.1;proto=https | insecure_transport ip_not_allowed | 403
--allow-ip 10.0.0.0/8    | --request --trust-forwarded=forwarded        | GET / HTTP/1.1 ; x-api-key: {S} ; Forwarded: for=10.1.1.1;proto=https ; X-Forwarded-For: 203.0.113.9 ; X-Forwarded-Proto: http | | 200
--allow-ip 10.0.0.0/8    | --request --trust-forwarded=forwarded        | GET / HTTP/1.1 ; x-api-key: {S} ; X-Forwarded-For: 10.1.1.1 ; X-Forwarded-Proto: https | insecure_transport ip_not_allowed | 403
--allow-ip 10.0.0.0/8    | --request --trust-forwarded=for              | GET / HTTP/1.1 ; x-api-key: {S} ; X-Forwarded-For: 10.1.1.1 ; X-Forwarded-Proto: https | insecure_transport | 403
--allow-ip 10.0.0.0/8    | --request --trust-forwarded=for --transport https | GET / HTTP/1.1 ; x-api-key: {S} ; X-Forwarded-For: 10.1.1.1 ; X-Forwarded-Proto: http | | 200
--allow-ip 10.0.0.0/8    | --request --trust-forwarded=for              | GET https://h/ HTTP/1.1 ; x-api-key: {S} ; X-Forwarded-For: 10.1.1.1 | | 200
--allow-ip 10.0.0.0/8    | --request --trust-forwarded=proto            | GET / HTTP/1.1 ; x-api-key: {S} ; X-Forwarded-For: 10.1.1.1 ; X-Forwarded-Proto: https | ip_not_allowed | 403
--allow-ip 10.0.0.0/8    | --request --trust-forwarded=proto --ip 10.1.1.1 | GET / HTTP/1.1 ; x-api-key: {S} ; X-Forwarded-For: 203.0.113.9 ; X-Forwarded-Proto: https | | 200
--allow-ip 10.0.0.0/8    | --request --trust-forwarded=proto --ip 10.1.1.1 | GET https://h/ HTTP/1.1 ; x-api-key: {S} | insecure_transport | 403
--allow-ip 10.0.0.0/8    | --request --trust-forwarded=for,proto        | GET / HTTP/1.1 ; x-api-key: {S} ; X-Forwarded-For: ::ffff:10.1.2.3:12345 ; X-Forwarded-Proto: https | ip_not_allowed | 403
--allow-ip 10.0.0.0/8    | --request --trust-forwarded=for,proto        | GET / HTTP/1.1 ; x-api-key: {S} ; X-Forwarded-For: "10.1.2.3" ; X-Forwarded-Proto: https | ip_not_allowed | 403
--allow-ip 10.0.0.0/8    | --request --trust-forwarded=for,proto        | GET / HTTP/1.1 ; x-api-key: {S} ; X-Forwarded-For: [::ffff:10.1.2.3]:12345 ; X-Forwarded-Proto: https | | 200

# A credential in a URL, where the store accepts none there.
store-refuses-queries            |                             | https://h/a?_auth_key={S}              | no_credential | 401
store-refuses-queries            | --request --transport https | GET /?_api_auth={S} HTTP/1.1 ; Host: h | no_credential | 401
store-refuses-queries --disabled |                             | /a?_auth_key={S}                       | no_credential | 401
store-refuses-queries            |                             | /a?_auth_key={DAMAGED}                 | malformed     | 401
store-refuses-queries            |                             | {S}                                    |               | 200
store-refuses-queries            | --request --transport https | GET /?x=1 HTTP/1.1 ; x-api-key: {S}    |               | 200

# Keys that do not work at all. A time is over in the second that it names.
--disabled                              |                                  | {S}        | key_disabled                                  | 401
--disabled                              |                                  | wrong:{S}  | not_genuine                                   | 401
--disabled                              |                                  | {DAMAGED}  | malformed                                     | 401
--disabled > enable                     |                                  | {S}        |                                               | 200
> disable                               |                                  | {S}        | key_disabled                                  | 401
--expires 1h                            |                                  | {S}        |                                               | 200
--expires 1h                            | --at 2026-01-31T12:59:59Z        | {S}        |                                               | 200
--expires 1h                            | --at 2026-01-31T13:00:00Z        | {S}        | key_expired                                   | 401
--expires 1h                            | --at 2026-01-31T14:00:00+01:00   | {S}        | key_expired                                   | 401
--expires 1h                            | --at 2026-01-31T13:59:59+01:00   | {S}        |                                               | 200
--expires 2026-02-01                    | --at 2026-01-31T23:59:59Z        | {S}        |                                               | 200
--expires 2026-02-01                    | --at 2026-02-01                  | {S}        | key_expired                                   | 401
--expires never                         | --at 9999-01-01                  | {S}        |                                               | 200
--expires 1h > edit --expires 2h        | --at 2026-01-31T13:00:00Z        | {S}        |                                               | 200
> rotate                                |                                  | {S}        | secret_retired                                | 401
> rotate                                |                                  | {N}        |                                               | 200
> rotate                                |                                  | {NAME}:{N} |                                               | 200
> rotate                                |                                  | wrong:{S}  | not_genuine                                   | 401
> rotate --grace 1h                     |                                  | {S}        |                                               | 200
> rotate --grace 1h                     | --at 2026-01-31T12:59:59Z        | {S}        |                                               | 200
> rotate --grace 1h                     | --at 2026-01-31T13:00:00Z        | {S}        | secret_retired                                | 401
> rotate --grace 1h                     | --at 2026-01-31T13:00:01Z        | {S}        | secret_retired                                | 401
> rotate --grace 1h                     | --at 2026-01-31T13:00:00Z        | {N}        |                                               | 200
> rotate --grace 1h > rotate            |                                  | {S}        | secret_retired                                | 401
> rotate --grace 1h > rotate --grace 2h | --at 2026-01-31T13:00:00Z        | {S}        | secret_retired                                | 401
> rotate --grace 1h                     | --transport http --scope ui      | {S}        | insecure_transport scope_missing              | 403
--owner ann                             |                                  | {S}        |                                               | 200
--owner bob                             |                                  | {S}        | owner_disabled                                | 401
--owner bob                             |                                  | wrong:{S}  | not_genuine                                   | 401
--tenant closed                         | --tenant closed                  | {S}        | tenant_disabled                               | 401
--tenant closed                         |                                  | {S}        | tenant_disabled tenant_mismatch               | 401
--tenant closed                         | --tenant acme                    | {S}        | tenant_disabled tenant_mismatch               | 401
--disabled --expires 1h                 | --at 2026-01-31T13:00:00Z        | {S}        | key_disabled key_expired                      | 401
--disabled --owner bob                  |                                  | {S}        | key_disabled owner_disabled                   | 401
--owner bob --tenant closed             | --tenant closed                  | {S}        | owner_disabled tenant_disabled                | 401
--expires 1h --owner bob                | --at 2026-02-01 --transport http | {S}        | key_expired owner_disabled insecure_transport | 401

# Addresses.
                                             | --ip 203.0.113.9           | {S} |                | 200
--allow-ip 10.0.0.0/8                        | --ip 10.9.8.7              | {S} |                | 200
--allow-ip 10.0.0.0/8                        | --ip 11.9.8.7              | {S} | ip_not_allowed | 403
--allow-ip 10.0.0.0/8                        |                            | {S} | ip_not_allowed | 403
--allow-ip 10.0.0.0/8                        | --ip ::ffff:10.9.8.7       | {S} |                | 200
--allow-ip 10.0.0.0/8                        | --ip ::ffff:a09:807        | {S} |                | 200
--allow-ip 10.0.0.0/8                        | --ip ::ffff:11.9.8.7       | {S} | ip_not_allowed | 403
--allow-ip 10.0.0.0/8                        | --ip ::10.9.8.7            | {S} | ip_not_allowed | 403
--allow-ip 10.1.2.0/30                       | --ip 10.1.2.3              | {S} |                | 200
--allow-ip 10.1.2.0/30                       | --ip 10.1.2.4              | {S} | ip_not_allowed | 403
--allow-ip ::ffff:10.0.0.0/104               | --ip 10.9.8.7              | {S} |                | 200
--allow-ip ::ffff:10.0.0.0/104               | --ip ::ffff:11.9.8.7       | {S} | ip_not_allowed | 403
--allow-ip 203.0.113.9                       | --ip 203.0.113.9           | {S} |                | 200
--allow-ip 203.0.113.9                       | --ip 203.0.113.8           | {S} | ip_not_allowed | 403
--allow-ip ::ffff:203.0.113.9                | --ip 203.0.113.9           | {S} |                | 200
--allow-ip 2001:db8::/32                     | --ip 2001:db8:ffff::1      | {S} |                | 200
--allow-ip 2001:db8::/32                     | --ip 2001:db9::1           | {S} | ip_not_allowed | 403
--allow-ip 2001:db8::/32                     | --ip 10.0.0.1              | {S} | ip_not_allowed | 403
--allow-ip 2001:db8::1                       | --ip 2001:0db8:0:0:0:0:0:1 | {S} |                | 200
--allow-ip 2001:db8::1                       | --ip 2001:db8::2           | {S} | ip_not_allowed | 403
--allow-ip ::/0                              | --ip 2001:db8::1           | {S} |                | 200
--allow-ip ::/0                              | --ip 10.0.0.1              | {S} | ip_not_allowed | 403
--allow-ip 0.0.0.0/0                         | --ip 10.0.0.1              | {S} |                | 200
--allow-ip 0.0.0.0/0                         | --ip ::1                   | {S} | ip_not_allowed | 403
--allow-ip 0.0.0.0/0                         |                            | {S} | ip_not_allowed | 403
--allow-ip 10.0.0.0/8,192.168.0.0/16 --allow-ip ::1 | --ip 192.168.3.4           | {S} |                | 200
--allow-ip 10.0.0.0/8,192.168.0.0/16 --allow-ip ::1 | --ip ::1                   | {S} |                | 200
--allow-ip 10.0.0.0/8,192.168.0.0/16 --allow-ip ::1 | --ip 192.169.0.0           | {S} | ip_not_allowed | 403

# Tenants.
                        | --tenant acme   | {S} |                 | 200
--tenant acme           | --tenant acme   | {S} |                 | 200
--tenant acme           | --tenant other  | {S} | tenant_mismatch | 403
--tenant acme           | --tenant ACME   | {S} | tenant_mismatch | 403
--tenant acme           | --tenant nosuch | {S} | tenant_mismatch | 403
--tenant acme           |                 | {S} | tenant_mismatch | 403
--as ann                | --tenant acme   | {S} |                 | 200
--as ann                |                 | {S} | tenant_mismatch | 403
--as ann --tenant other | --tenant acme   | {S} | tenant_mismatch | 403

# Methods: four are safe, and their names are as they are written.
--read-only  | --method GET                | {S}                                  |                    | 200
--read-only  | --method HEAD               | {S}                                  |                    | 200
--read-only  | --method OPTIONS            | {S}                                  |                    | 200
--read-only  | --method TRACE              | {S}                                  |                    | 200
--read-only  | --method POST               | {S}                                  | method_not_allowed | 403
--read-only  | --method PUT                | {S}                                  | method_not_allowed | 403
--read-only  | --method PATCH              | {S}                                  | method_not_allowed | 403
--read-only  | --method DELETE             | {S}                                  | method_not_allowed | 403
--read-only  | --method CONNECT            | {S}                                  | method_not_allowed | 403
--read-only  | --method get                | {S}                                  | method_not_allowed | 403
--read-only  | --method Head               | {S}                                  | method_not_allowed | 403
--read-only  | --method PROPFIND           | {S}                                  | method_not_allowed | 403
--read-only  | --method GETX               | {S}                                  | method_not_allowed | 403
--read-only  |                             | {S}                                  | method_not_allowed | 403
--read-write | --method DELETE             | {S}                                  |                    | 200
--read-only  | --request --transport https | HEAD / HTTP/1.1 ; x-api-key: {S}     |                    | 200
--read-only  | --request --transport https | POST / HTTP/1.1 ; x-api-key: {S}     | method_not_allowed | 403
--read-only  | --request --transport https | get / HTTP/1.1 ; x-api-key: {S}      | method_not_allowed | 403
--read-only  | --request --transport https | M-SEARCH * HTTP/1.1 ; x-api-key: {S} | method_not_allowed | 403
--read-only  | --request --method GET      | GET / HTTP/1.1 ; x-api-key: {S}      | insecure_transport | 403

# Scopes: all that are asked for, letter by letter.
                                   | --scope rest            | {S} | scope_missing | 403
--scope rest                       |                         | {S} |               | 200
--scope rest                       | --scope rest            | {S} |               | 200
--scope rest                       | --scope ui              | {S} | scope_missing | 403
--scope rest                       | --scope REST            | {S} | scope_missing | 403
--scope rest                       | --scope res             | {S} | scope_missing | 403
--scope rest                       | --scope rest:read       | {S} | scope_missing | 403
--scope rest                       | --scope rest --scope ui | {S} | scope_missing | 403
--scope rest                       | --scope ui --scope rest | {S} | scope_missing | 403
--scope rest,ui                    | --scope ui,rest         | {S} |               | 200
--scope rest --scope ui            | --scope ui --scope rest | {S} |               | 200
--scope *                          | --scope rest            | {S} | scope_missing | 403
--scope rest > edit --add-scope ui | --scope rest,ui         | {S} |               | 200
--scope rest > edit --clear scope  | --scope rest            | {S} | scope_missing | 403

# Levels: a level holds those above it, by whole segments.
                      | --level A                | {S} | level_missing | 403
--level A/B           |                          | {S} |               | 200
--level A/B           | --level A                | {S} |               | 200
--level A/B           | --level A/B              | {S} |               | 200
--level A/B           | --level A/B/C            | {S} | level_missing | 403
--level A/B           | --level A/Bc             | {S} | level_missing | 403
--level A/Bc          | --level A/B              | {S} | level_missing | 403
--level A/B           | --level B                | {S} | level_missing | 403
--level A/B           | --level a/b              | {S} | level_missing | 403
--level A/B/C/D       | --level A/B              | {S} |               | 200
--level A/B           | --level A,A/B            | {S} |               | 200
--level A/B           | --level A/B --level C    | {S} | level_missing | 403
--level A/B           | --level C --level A      | {S} | level_missing | 403
--level A/B --level C | --level C,A              | {S} |               | 200
--level A/B,A/Bc      | --level A/Bc --level A/B | {S} |               | 200

# Roles: the lower one of the key's and its owner's counts.
                          | --role auditor              | {S} | role_too_low                | 403
--role editor             |                             | {S} |                             | 200
--role editor             | --role auditor              | {S} |                             | 200
--role editor             | --role viewer               | {S} |                             | 200
--role editor             | --role editor               | {S} |                             | 200
--role editor             | --role admin                | {S} | role_too_low                | 403
--role auditor            | --role viewer               | {S} | role_too_low                | 403
--role admin              | --role nosuch               | {S} | role_too_low                | 403
--role viewer --owner ann | --role viewer               | {S} |                             | 200
--role viewer --owner ann | --role editor               | {S} | role_too_low                | 403
--role admin --owner ann  | --role editor               | {S} |                             | 200
--role admin --owner ann  | --role admin                | {S} | role_too_low                | 403
--role admin --owner carl | --role viewer               | {S} |                             | 200
--role admin --owner carl | --role editor               | {S} | role_too_low                | 403
--role admin --owner dora | --role auditor              | {S} | role_too_low                | 403
--owner ann               | --role auditor              | {S} | role_too_low                | 403
--role admin --owner bob  | --role admin                | {S} | owner_disabled              | 401
--role editor --owner bob | --role admin                | {S} | owner_disabled role_too_low | 401
--role editor --as ann    | --role editor --tenant acme | {S} |                             | 200

# What a proxy says counts with --trust-forwarded alone, and then of its last hop.
--allow-ip 10.0.0.0/8    | --request --trust-forwarded                  | GET / HTTP/1.1 ; x-api-key: {S} ; X-Forwarded-For: 10.1.1.1 ; X-Forwarded-Proto: https |                                   | 200
--allow-ip 10.0.0.0/8    | --request --transport https                  | GET / HTTP/1.1 ; x-api-key: {S} ; X-Forwarded-For: 10.1.1.1 ; X-Forwarded-Proto: https | ip_not_allowed                    | 403
--allow-ip 10.0.0.0/8    | --request                                    | GET / HTTP/1.1 ; x-api-key: {S} ; Forwarded: for=10.1.1.1;proto=https | insecure_transport ip_not_allowed | 403
--allow-ip 10.0.0.0/8    | --request --ip 203.0.113.9 --transport https | GET / HTTP/1.1 ; x-api-key: {S} ; X-Forwarded-For: 10.1.1.1  | ip_not_allowed                    | 403
--allow-ip 10.0.0.0/8    | --request --ip 10.1.1.1 --transport https    | GET / HTTP/1.1 ; x-api-key: {S} ; X-Forwarded-For: 203.0.113.9 ; X-Forwarded-Proto: http |                                   | 200
--allow-ip 10.0.0.0/8    | --request --trust-forwarded                  | GET / HTTP/1.1 ; x-api-key: {S}                              | insecure_transport ip_not_allowed | 403
--allow-ip 10.0.0.0/8    | --request --trust-forwarded                  | GET / HTTP/1.1 ; x-api-key: {S} ; X-Forwarded-For: 203.0.113.9, 10.1.1.1 ; X-Forwarded-Proto: http, https |                                   | 200
--allow-ip 10.0.0.0/8    | --request --trust-forwarded                  | GET / HTTP/1.1 ; x-api-key: {S} ; X-Forwarded-For: 10.1.1.1, 203.0.113.9 ; X-Forwarded-Proto: https, http | insecure_transport ip_not_allowed | 403
--allow-ip 10.0.0.0/8    | --request --trust-forwarded                  | GET / HTTP/1.1 ; x-api-key: {S} ; X-Forwarded-For: 10.1.1.1 ; X-Forwarded-For: 203.0.113.9 ; X-Forwarded-Proto: https | ip_not_allowed                    | 403
--allow-ip 10.0.0.0/8    | --request --trust-forwarded                  | GET / HTTP/1.1 ; x-api-key: {S} ; X-Forwarded-For: 203.0.113.9 ; x-forwarded-for: ::ffff:10.1.1.1 ; X-Forwarded-Proto: http ; x-forwarded-proto: HTTPS |                                   | 200
--allow-ip 10.0.0.0/8    | --request --trust-forwarded                  | GET / HTTP/1.1 ; x-api-key: {S} ; X-Forwarded-For: 10.1.1.1, unknown ; X-Forwarded-Proto: wss | insecure_transport ip_not_allowed | 403
--allow-ip 10.0.0.0/8    | --request --trust-forwarded                  | GET / HTTP/1.1 ; x-api-key: {S} ; X-Forwarded-For: 10.1.1.1, ; X-Forwarded-Proto: https | ip_not_allowed                    | 403
--allow-ip 10.0.0.0/8    | --request --trust-forwarded                  | GET / HTTP/1.1 ; x-api-key: {S} ; Forwarded: for=10.1.1.1;proto=https |                                   | 200
--allow-ip 10.0.0.0/8    | --request --trust-forwarded                  | GET / HTTP/1.1 ; x-api-key: {S} ; Forwarded: for=203.0.113.9;proto=http, For="10.1.1.1:4711";Proto=https;by=1.1.1.1 |                                   | 200
--allow-ip 10.0.0.0/8    | --request --trust-forwarded                  | GET / HTTP/1.1 ; x-api-key: {S} ; Forwarded: for=10.1.1.1;proto=https, for=203.0.113.9;proto=http | insecure_transport ip_not_allowed | 403
--allow-ip 10.0.0.0/8    | --request --trust-forwarded                  | GET / HTTP/1.1 ; x-api-key: {S} ; Forwarded: for=10.1.1.1;proto=https ; Forwarded: for=203.0.113.9 | insecure_transport ip_not_allowed | 403
--allow-ip 10.0.0.0/8    | --request --trust-forwarded                  | GET / HTTP/1.1 ; x-api-key: {S} ; Forwarded: for="10.1.1.1;proto=https | insecure_transport ip_not_allowed | 403
--allow-ip 10.0.0.0/8    | --request --trust-forwarded                  | GET / HTTP/1.1 ; x-api-key: {S} ; Forwarded: for=_hidden;proto=https | ip_not_allowed                    | 403
--allow-ip 2001:db8::/32 | --request --trust-forwarded                  | GET / HTTP/1.1 ; x-api-key: {S} ; Forwarded: for="[2001:db8::1]:4711";proto=https |                                   | 200
--allow-ip 10.0.0.0/8    | --request --trust-forwarded                  | GET / HTTP/1.1 ; x-api-key: {S} ; Forwarded: for=10.1.1.1;proto=https ; X-Forwarded-For: 10.1.1.1 ; X-Forwarded-Proto: https |                                   | 200
--allow-ip 10.0.0.0/8    | --request --trust-forwarded                  | GET / HTTP/1.1 ; x-api-key: {S} ; Forwarded: for=10.1.1.1;proto=https ; X-Forwarded-For: 10.1.1.2 ; X-Forwarded-Proto: http | insecure_transport ip_not_allowed | 403
                         | --request --trust-forwarded                  | GET https://h/ HTTP/1.1 ; x-api-key: {S} ; X-Forwarded-Proto: http | insecure_transport                | 403
--allow-insecure         | --request --trust-forwarded                  | GET / HTTP/1.1 ; x-api-key: {S} ; X-Forwarded-Proto: http    |                                   | 200

# Several at once: all that fail are named, and what passes beside them is not.
--allow-ip 10.0.0.0/8 --read-only            | --ip 203.0.113.9 --method GET                        | {S}        | ip_not_allowed                                   | 403
--allow-ip 10.0.0.0/8 --read-only            | --ip 10.1.1.1 --method POST                          | {S}        | method_not_allowed                               | 403
--allow-ip 10.0.0.0/8 --read-only            | --method POST --transport http                       | {S}        | insecure_transport ip_not_allowed method_not_allowed | 403
--tenant acme --read-only --scope rest       |                                                      | {S}        | tenant_mismatch method_not_allowed               | 403
--tenant acme --read-only --scope rest       | --tenant acme --method GET --scope rest              | {S}        |                                                  | 200
--scope rest --level A --role viewer         | --scope ui --level B --role editor                   | {S}        | scope_missing level_missing role_too_low         | 403
--scope rest --level A --role viewer         | --scope rest --level A --role viewer                 | {S}        |                                                  | 200
--group web --label team=a --description x --prefix live | --scope rest                                         | {S}        | scope_missing                                    | 403
--group web --label team=a --description x --prefix live |                                                      | {NAME}:{S} |                                                  | 200
--disabled --read-only --tenant acme         | --method GET --tenant acme                           | {S}        | key_disabled                                     | 401
--disabled --read-only --tenant acme         | --method POST --tenant other                         | {S}        | key_disabled tenant_mismatch method_not_allowed  | 401
everything                                   | --at 2026-02-01 --transport http --ip 203.0.113.9 --tenant other --method POST --scope ui --level C --role nosuch | {S}        | secret_retired key_disabled key_expired owner_disabled tenant_disabled insecure_transport ip_not_allowed tenant_mismatch method_not_allowed scope_missing level_missing role_too_low | 401
everything                                   | --at 2026-02-01 --transport http                     | {N}        | key_disabled key_expired owner_disabled tenant_disabled insecure_transport ip_not_allowed tenant_mismatch method_not_allowed | 401
everything                                   | --ip 10.1.1.1 --tenant closed --method GET --scope rest --level A --role viewer | {N}        | key_disabled owner_disabled tenant_disabled      | 401
everything                                   | --transport http                                     | {FORGED}   | not_genuine                                      | 401
everything                                   | --transport http                                     | wrong:{S}  | not_genuine                                      | 401
"#;

/// The settings of a key that fails every check: `everything` in the table.
const EVERYTHING: &str = "--disabled --expires 1h --owner bob --tenant closed --allow-ip 10.0.0.0/8 --read-only \
                          --scope rest --level A --role admin > rotate";

/// A key and the credentials that can be presented for it.
#[derive(Clone)]
struct Holder {
    name: String,
    secret: String,
    rotated: Option<String>,
    stranger: String,
}

impl Holder {
    /// Fills in a cell of the table to get what is presented.
    fn fill(&self, template: &str) -> String {
        let damaged = match self.secret.strip_suffix('0') {
            Some(start) => format!("{start}1"),
            None => format!("{}0", &self.secret[..self.secret.len() - 1]),
        };
        let mut text = template.to_owned();
        for (mark, value) in [
            ("{S}", self.secret.as_str()),
            ("{N}", self.rotated.as_deref().unwrap_or("there was no rotation")),
            ("{T}", &self.stranger),
            // One wrong character, so the checksum is wrong too.
            ("{DAMAGED}", &damaged),
            // The id of this key and a valid checksum, with a secret that was never issued.
            ("{FORGED}", &made_up(id_of(&self.secret))),
            // The same with the id of no key.
            ("{UNKNOWN}", &made_up("0123456789ab")),
            ("{NAME}", &self.name),
            ("{SP}", " "),
            ("{TAB}", "\t"),
            ("{LF}", "\n"),
        ] {
            text = text.replace(mark, value);
        }
        match text.split_once("B(").and_then(|(before, rest)| Some((before, rest.split_once(')')?))) {
            Some((before, (inside, after))) => format!("{before}{}{after}", STANDARD.encode(inside)),
            None => text,
        }
    }

    /// The same, as the head of a request.
    fn fill_head(&self, template: &str) -> String {
        let (template, end) = match template.strip_prefix("LF ") {
            Some(rest) => (rest, "\n"),
            None => (template, "\r\n"),
        };
        let lines: Vec<_> = template.split(" ; ").map(|line| self.fill(line)).collect();
        format!("{}{end}{end}", lines.join(end))
    }
}

fn id_of(secret: &str) -> &str {
    secret.rsplit('_').nth(1).unwrap()
}

fn made_up(id: &str) -> String {
    let id: Id = id.parse().unwrap();
    Secret::build(&"kw".parse().unwrap(), id, &[7; 32]).expose().to_owned()
}

/// A store with a directory, and the keys made in it so far, by their flags.
struct Scene {
    sandbox: Sandbox,
    stranger: String,
    keys: RefCell<HashMap<String, Holder>>,
}

impl Scene {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        for line in [
            "tenant create acme",
            "tenant create other",
            "tenant create closed",
            "tenant disable closed",
            "role create auditor --rank 5",
            "group create web",
            "user create ann --role editor --tenant acme",
            "user create bob --role admin",
            "user disable bob",
            "user create carl --role viewer",
            "user create dora",
        ] {
            let output = sandbox.run(line);
            assert_eq!(output.code, 0, "{line}: {output}");
        }
        let stranger = sandbox.mint("stranger");
        Self { sandbox, stranger, keys: RefCell::default() }
    }

    /// The key with these flags, made on first use.
    fn key(&self, line: &str) -> Holder {
        let next = format!("key-{}", self.keys.borrow().len());
        self.keys.borrow_mut().entry(line.to_owned()).or_insert_with(|| self.mint(&next, line)).clone()
    }

    fn mint(&self, name: &str, line: &str) -> Holder {
        let mut steps = line.split('>').map(str::trim);
        let flags = steps.next().unwrap_or_default();
        let secret = self.sandbox.mint(&format!("{name} {flags}"));
        let mut rotated = None;
        for step in steps {
            let (verb, flags) = step.split_once(' ').unwrap_or((step, ""));
            let output = self.sandbox.run(&format!("{verb} {name} {flags}"));
            assert_eq!(output.code, 0, "{step}: {output}");
            if verb == "rotate" {
                rotated = Some(output.stdout.trim_end().to_owned());
            }
        }
        Holder { name: name.to_owned(), secret, rotated, stranger: self.stranger.clone() }
    }

    /// Every check that fails for the secret of this key.
    fn reasons(&self, key: &str, flags: &str) -> String {
        self.sandbox.reason(&format!("--no-record {flags}"), &self.key(key).secret)
    }

    fn allows(&self, key: &str, flags: &str) -> bool {
        self.reasons(key, flags) == "allowed"
    }
}

#[test]
fn table() {
    let (ordinary, strict) = (Scene::new(), Scene::new());
    assert_eq!(strict.sandbox.run("settings set query-credentials refuse").code, 0);
    let mut failures = vec![];
    let mut count = 0;
    for row in TABLE.lines().filter(|row| row.contains('|')) {
        let [key, flags, presented, reasons, status] = row.split('|').map(str::trim).collect::<Vec<_>>()[..] else {
            panic!("{row}");
        };
        let key = if key == "everything" { EVERYTHING } else { key };
        let (scene, key) = match key.strip_prefix("store-refuses-queries") {
            Some(key) => (&strict, key.trim()),
            None => (&ordinary, key),
        };
        let holder = scene.key(key);
        let is_request = flags.contains("--request");
        let input = if is_request { holder.fill_head(presented) } else { holder.fill(presented) };
        let expected = if reasons.is_empty() { "allowed" } else { reasons };
        let found = scene.sandbox.reason(&format!("--no-record {flags}"), &input);
        let code = scene.sandbox.run_with(&format!("verify -q --no-record {flags}"), &input).code;
        let found_status = match code {
            0 => "200",
            3 => "401",
            4 => "403",
            _ => "none",
        };
        if (found.as_str(), found_status) != (expected, status) {
            failures.push(format!("{row}\n  but: {found} | {found_status}"));
        }
        count += 1;
    }
    assert!(failures.is_empty(), "{} of {count} rows\n{}", failures.len(), failures.join("\n"));
    assert!(count >= 120, "{count} rows");
}

/// `--at` predicts a decision: the real clock must agree.
#[test]
fn the_clock_decides_as_at_foretells() {
    let scene = Scene::new();
    let keys = ["--expires 1h", "> rotate --grace 1h", "--expires 30m > rotate --grace 1h", "--disabled --expires 1h"];
    let moments = ["2026-01-31T12:59:59Z", "2026-01-31T13:00:00Z", "2026-01-31T13:00:01Z"];
    let foretold: Vec<Vec<_>> =
        moments.iter().map(|at| keys.iter().map(|key| scene.reasons(key, &format!("--at {at}"))).collect()).collect();
    scene.sandbox.pass(59.minutes().seconds(59));
    for (moment, foretold) in moments.iter().zip(&foretold) {
        let found: Vec<_> = keys.iter().map(|key| scene.reasons(key, "")).collect();
        assert_eq!(&found, foretold, "{moment}");
        scene.sandbox.pass(1.second());
    }
    // A grace period ends with its key.
    assert_eq!(foretold[0], ["allowed", "allowed", "secret_retired key_expired", "key_disabled"]);
    assert_eq!(
        foretold[1],
        ["key_expired", "secret_retired", "secret_retired key_expired", "key_disabled key_expired"]
    );
}

/// Settings of a key, each row from the most to the least permissive. A row ends at its first disabled user or tenant:
/// no request gets past it.
const SETTINGS: &[&[&str]] = &[
    &["", "--disabled"],
    &["", "--expires 2h", "--expires 1h"],
    &["", "--owner ann", "--owner carl", "--owner dora", "--owner bob"],
    &["", "--tenant acme", "--tenant closed"],
    &[
        "",
        "--allow-ip 0.0.0.0/0 --allow-ip ::/0",
        "--allow-ip 10.0.0.0/8,192.0.2.1 --allow-ip 2001:db8::/32",
        "--allow-ip 10.0.0.0/8 --allow-ip 2001:db8::1",
        "--allow-ip 10.1.1.1",
    ],
    &["--read-write", "--read-only"],
    &["--allow-insecure", "--require-secure"],
    &["--scope rest,ui", "--scope rest", ""],
    &["--level A/B/C --level D", "--level A/B/C", "--level A/B", "--level A", ""],
    &["--role admin", "--role editor", "--role viewer", "--role auditor", ""],
];

/// What happened to the presented secret, from the most to the least permissive.
const ROTATIONS: [&str; 4] = ["", "> rotate --grace 2h", "> rotate --grace 1h", "> rotate"];

/// What a request demands, each row from the least to the most.
const DEMANDS: &[&[&str]] = &[
    &["", "--at 2026-01-31T12:59:59Z", "--at 2026-01-31T13:00:00Z", "--at 2026-01-31T14:00:00Z"],
    &["--transport https", "--transport http"],
    &["--method GET", "--method POST"],
    &["", "--scope ui", "--scope rest --scope ui", "--scope ui,rest --scope more"],
    &["", "--level A", "--level A/B", "--level A/B/C", "--level A/B/C --level A", "--level A/B/C --level A/Bc,A"],
    &["", "--role auditor", "--role viewer", "--role editor", "--role admin", "--role nosuch"],
];

/// The callers: none of them asks for more than another.
const CALLERS: &[&[&str]] = &[
    &["--ip 10.1.1.1", "--ip 10.2.2.2", "--ip 2001:db8::1", "--ip ::ffff:192.0.2.1", "--ip 203.0.113.9", ""],
    &["--tenant acme", "--tenant closed", ""],
];

/// An index into each row.
type Choice = Vec<usize>;

/// Picks the first entry of almost every row. With many restrictions at once nothing would ever be allowed, and a
/// property that sees only refusals proves nothing.
fn choice(rows: &'static [&'static [&'static str]]) -> impl Strategy<Value = Choice> {
    prop::collection::vec((0..rows.len(), any::<Index>()), 0..=3).prop_map(move |changes| {
        let mut choice = vec![0; rows.len()];
        for (row, place) in changes {
            choice[row] = place.index(rows[row].len());
        }
        choice
    })
}

/// A row and two indexes into it, the smaller first.
fn step(rows: &'static [&'static [&'static str]]) -> impl Strategy<Value = (usize, usize, usize)> {
    let pairs = |length: usize| (1..length).flat_map(|more| (0..more).map(move |less| (less, more)));
    let steps = rows.iter().enumerate();
    let steps = steps.flat_map(|(row, of)| pairs(of.len()).map(move |(less, more)| (row, less, more)));
    select(steps.collect::<Vec<_>>())
}

/// The same choice, except in one row.
fn but(choice: &Choice, row: usize, place: usize) -> Choice {
    let mut choice = choice.clone();
    choice[row] = place;
    choice
}

fn flags(rows: &[&[&str]], choice: &Choice) -> String {
    rows.iter().zip(choice).map(|(row, place)| row[*place]).collect::<Vec<_>>().join(" ")
}

/// Each flag with its value, shuffled.
fn in_any_order(line: String) -> impl Strategy<Value = String> {
    let mut flags: Vec<String> = vec![];
    for word in words(&line) {
        match flags.last_mut() {
            Some(flag) if !word.starts_with("--") => *flag = format!("{flag} {word}"),
            _ => flags.push(word),
        }
    }
    Just(flags).prop_shuffle().prop_map(|flags| flags.join(" "))
}

/// Several requests per key, because making a key takes longer than asking about it.
fn requests() -> impl Strategy<Value = Vec<(Choice, Choice)>> {
    prop::collection::vec((choice(DEMANDS), choice(CALLERS)), 6)
}

fn request((demands, caller): &(Choice, Choice)) -> String {
    format!("{} {}", flags(DEMANDS, demands), flags(CALLERS, caller))
}

/// A failure is shown but not saved to a file.
fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

#[test]
fn another_restriction_never_turns_a_refusal_into_an_allowance() {
    let scene = Scene::new();
    proptest!(cases(96), |(key in choice(SETTINGS), (row, less, more) in step(SETTINGS), requests in requests())| {
        let (free, bound) = (flags(SETTINGS, &but(&key, row, less)), flags(SETTINGS, &but(&key, row, more)));
        for request in requests.iter().map(request) {
            let kept = scene.allows(&free, &request) || !scene.allows(&bound, &request);
            prop_assert!(kept, "{free} | {bound} | {request}");
        }
    });
}

#[test]
fn a_shorter_grace_never_turns_a_refusal_into_an_allowance() {
    let scene = Scene::new();
    proptest!(cases(16), |(key in choice(SETTINGS), requests in requests())| {
        let key = flags(SETTINGS, &key);
        for request in requests.iter().map(request) {
            let answers = ROTATIONS.map(|rotation| scene.allows(&format!("{key} {rotation}"), &request));
            prop_assert!(answers.is_sorted_by(|before, after| before >= after), "{key} | {request} | {answers:?}");
        }
    });
}

#[test]
fn another_demand_never_turns_a_refusal_into_an_allowance() {
    let scene = Scene::new();
    let steps = prop::collection::vec(step(DEMANDS), 6);
    proptest!(cases(96), |(key in choice(SETTINGS), requests in requests(), steps in steps)| {
        let key = flags(SETTINGS, &key);
        for ((demands, caller), (row, less, more)) in requests.into_iter().zip(steps) {
            let asking = |place| request(&(but(&demands, row, place), caller.clone()));
            let (little, much) = (asking(less), asking(more));
            prop_assert!(scene.allows(&key, &little) || !scene.allows(&key, &much), "{key} | {little} | {much}");
        }
    });
}

/// Few enough to try them all: each key that needs context, in each context and in each part of that context.
#[test]
fn a_refused_request_stays_refused_when_context_is_removed() {
    let scene = Scene::new();
    let needs = [["", "--allow-ip 10.0.0.0/8 --allow-ip ::1"], ["", "--tenant acme"], ["", "--read-only"]];
    let contexts = [
        &["", "--ip 10.1.1.1", "--ip ::1", "--ip 203.0.113.9"][..],
        &["", "--tenant acme", "--tenant other"],
        &["", "--method GET", "--method POST"],
    ];
    for key in combinations(&needs.each_ref().map(|need| &need[..])) {
        let key = key.join(" ");
        let answers: HashMap<_, _> = combinations(&contexts)
            .into_iter()
            .map(|context| (context.clone(), scene.allows(&key, &context.join(" "))))
            .collect();
        for (context, allowed) in &answers {
            for gone in 0..context.len() {
                let mut less = context.clone();
                less[gone] = "";
                assert!(*allowed || !answers[&less], "{key} | {context:?} | {less:?}");
            }
        }
    }
}

/// Every combination of one entry from each row.
fn combinations<'a>(rows: &[&[&'a str]]) -> Vec<Vec<&'a str>> {
    rows.iter().fold(vec![vec![]], |begun, row| {
        begun.iter().flat_map(|begun| row.iter().map(move |next| [&begun[..], &[*next]].concat())).collect()
    })
}

#[test]
fn the_order_of_flags_never_matters() {
    let scene = Scene::new();
    let either_order = |rows| {
        choice(rows).prop_flat_map(move |choice| {
            let line = flags(rows, &choice);
            (Just(line.clone()), in_any_order(line))
        })
    };
    let settings = |key: &str| {
        let name = scene.key(key).name;
        let mut settings = scene.sandbox.run(&format!("show --json {name}")).json();
        for own in ["id", "name", "secrets"] {
            settings[own].take();
        }
        settings
    };
    let keys = either_order(SETTINGS);
    let requests = prop::collection::vec((either_order(DEMANDS), either_order(CALLERS)), 4);
    proptest!(cases(64), |((key, shuffled_key) in keys, requests in requests)| {
        prop_assert_eq!(settings(&key), settings(&shuffled_key));
        for ((demands, shuffled_demands), (caller, shuffled_caller)) in requests {
            let (request, shuffled) = (format!("{demands} {caller}"), format!("{shuffled_caller} {shuffled_demands}"));
            prop_assert_eq!(scene.reasons(&key, &request), scene.reasons(&shuffled_key, &shuffled));
        }
    });
}
