//! The pieces of a verification, one by one: `cargo bench --bench micro`; add the name of a piece to run only that.

use std::hint::black_box;

use anyhow::{Context as _, Result};
use criterion::Criterion;
use jiff::Timestamp;
use keyward_core::rules::credential::{parse_line, parse_request};
use keyward_core::rules::decision::{Request, Transport, decide};
use keyward_core::rules::hashing::{Cost, HashedSecret, Memory};
use keyward_core::rules::token::{Id, Secret};
use keyward_core::store::Store;

#[path = "processes/data.rs"]
mod data;

fn main() -> Result<()> {
    let mut criterion = Criterion::default().configure_from_args();
    let secret = Secret::build(&"kw".parse()?, Id::from_random([7; 8]), &[7; 32]);
    hash(&mut criterion, &secret)?;
    parse(&mut criterion, &secret);
    decide_and_look_up(&mut criterion)?;
    criterion.final_summary();
    Ok(())
}

/// One Argon2id hash at the default cost.
fn hash(criterion: &mut Criterion, secret: &Secret) -> Result<()> {
    let hashed = HashedSecret::new(secret, [7; 16], Cost::default())?;
    let mut group = criterion.benchmark_group("hash");
    group.sample_size(20);
    let mut memory = Memory::default();
    group.bench_function("in memory that was used before", |bench| {
        bench.iter(|| hashed.matches_in(black_box(secret), &mut memory));
    });
    group.bench_function("in new memory", |bench| bench.iter(|| hashed.matches(black_box(secret))));
    group.finish();
    Ok(())
}

fn parse(criterion: &mut Criterion, secret: &Secret) {
    let text = secret.expose();
    criterion.bench_function("token parse", |bench| bench.iter(|| Secret::parse(black_box(text))));
    let basic = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, format!("name:{text}"));
    let mut group = criterion.benchmark_group("presentation parse");
    for (name, line) in [
        ("bare", text.to_owned()),
        ("bearer", format!("Authorization: Bearer {text}")),
        ("basic", format!("Authorization: Basic {basic}")),
        ("url", format!("https://api.example/v1/items?page=2&api_key={text}")),
    ] {
        group.bench_function(name, |bench| bench.iter(|| parse_line(black_box(&line))));
    }
    let head = format!(
        "GET /v1/items?page=2 HTTP/1.1\r\nHost: api.example\r\nUser-Agent: made-up/1.0\r\nAccept: */*\r\nX-API-Key: {text}\r\n\r\n"
    );
    group.bench_function("request head", |bench| bench.iter(|| parse_request(black_box(head.as_bytes()))));
    group.finish();
}

fn decide_and_look_up(criterion: &mut Criterion) -> Result<()> {
    let now = Timestamp::from_second(1_767_225_600)?;
    let folder = tempfile::tempdir()?;
    for keys in [10, 10_000] {
        let path = folder.path().join(format!("{keys}.db"));
        let secrets = data::make(&path, keys, 1)?;
        let (store, id) = (Store::open(&path)?, secrets.first().context("no secret")?.id());
        let name = data::name(keys / 2)?;
        let mut group = criterion.benchmark_group(format!("look-up among {keys} keys"));
        group.bench_function("by the id of a secret", |bench| bench.iter(|| store.view()?.presented(black_box(id))));
        group.bench_function("by name", |bench| bench.iter(|| store.view()?.named(black_box(&name))));
        group.finish();
        if keys == 10 {
            let key = store.view()?.named(&data::name(8)?)?.context("no key")?;
            let mut request = Request::over(Transport::Https);
            request.ip = Some("10.0.8.7".parse()?);
            request.tenant = Some("tenant-8".parse()?);
            request.scopes.push("rest".parse()?);
            request.levels.push("api/team-8".parse()?);
            let secret = key.secrets.first().context("no secret")?;
            criterion.bench_function("decide", |bench| bench.iter(|| decide(black_box(&key), secret, &request, now)));
        }
    }
    Ok(())
}
