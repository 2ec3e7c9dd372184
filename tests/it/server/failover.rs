//! A standby takes over. If it has everything that was acknowledged, work continues; if not, processes that know more
//! do not trust it.

use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use super::batch::Batch;
use super::postgres::{OWNER, Server};
use super::{Site, is_full, start};
use crate::harness::{Over, finish};
use crate::serve::{Guard, Wire, eventually, question};

/// How soon after the promotion changes must work again.
const SERVICE: Duration = Duration::from_secs(3);

/// Two servers, the second a standby of the first, and hosts that know both.
fn pair(hosts: u32) -> (Server, Server, Site) {
    let (primary, mut site) = start(hosts);
    let standby = primary.standby();
    site.url = site.url_of(&[primary.port, standby.port]);
    (primary, standby, site)
}

/// Whether the standby has replayed everything that the primary has written.
fn has_all(primary: &Server, standby: &Server) -> bool {
    let end = primary.sql(OWNER, "SELECT pg_current_wal_lsn()");
    standby.sql(OWNER, &format!("SELECT pg_last_wal_replay_lsn() >= '{end}'")) == "t"
}

/// What a worker knows: the keys reported as created, and how often the result was unknown.
#[derive(Default)]
struct Told {
    made: Vec<String>,
    failed: usize,
}

/// Creates keys until it is over, and retries those that failed.
fn work(site: &Site, host: usize, is_over: &AtomicBool, made: &AtomicUsize) -> Told {
    let mut told = Told::default();
    while !is_over.load(SeqCst) {
        let name = format!("w{host}-{}", told.made.len());
        for attempt in 0.. {
            let line = format!("create {name} --json --ensure --secret-file {name}");
            let output = finish(&mut site.on(host, &line));
            if output.code == 0 {
                break;
            }
            assert_eq!(output.code, 6, "{output}");
            assert!(attempt < 600, "{output}");
            told.failed += 1;
        }
        made.fetch_add(1, SeqCst);
        told.made.push(name);
    }
    told
}

#[test]
#[ignore = "needs PostgreSQL, openssl, root and ip netns"]
fn what_was_acknowledged_is_there_after_a_failover() {
    let (mut primary, standby, site) = pair(4);
    primary.set("synchronous_standby_names = '*'");
    let secret = site.mint("shared");
    let guard = site.guard(4);
    assert_eq!(status(&guard, &secret), 200, "{}", guard.text());
    let (is_over, made) = (AtomicBool::new(false), AtomicUsize::new(0));
    let at_least = |number: usize| {
        let first = made.load(SeqCst);
        // The time limit is for each dozen, however many there are.
        for goal in (first + 1..=first + number).step_by(12).chain([first + number]) {
            eventually(|| (made.load(SeqCst) >= goal).then_some(())).unwrap_or_else(|| panic!("{made:?}, not {goal}"));
        }
    };
    let before = if is_full() { 200 } else { 12 };
    let (told, outage) = thread::scope(|scope| {
        let over = Over(&is_over);
        let workers: Vec<_> = (1..=3)
            .map(|host| {
                let (site, is_over, made) = (&site, &is_over, &made);
                scope.spawn(move || work(site, host, is_over, made))
            })
            .collect();
        at_least(before);
        let killed = Instant::now();
        primary.kill();
        standby.promote();
        let promoted = Instant::now();
        at_least(1);
        let changes = promoted.elapsed();
        eventually(|| (status(&guard, &secret) == 200).then_some(())).unwrap_or_else(|| panic!("{}", guard.text()));
        let outage = (promoted - killed, changes, promoted.elapsed());
        at_least(before);
        drop(over);
        (workers.into_iter().map(|worker| worker.join().unwrap()).collect::<Vec<_>>(), outage)
    });
    let (promotion, changes, decisions) = outage;
    let failed: usize = told.iter().map(|told| told.failed).sum();
    println!(
        "promoted after {promotion:?}; then changes again within {changes:?}, decisions within {decisions:?}; {} keys, \
         {failed} attempts that failed",
        made.into_inner()
    );
    assert!(changes <= SERVICE && decisions <= SERVICE, "{changes:?}, {decisions:?}");
    // The store has exactly the acknowledged keys, each once, and they all work.
    let listed = site.must("list --json").json();
    let listed: Vec<_> =
        listed.as_array().unwrap().iter().map(|key| key["name"].as_str().unwrap().to_owned()).collect();
    let mut names: Vec<_> = told.iter().flat_map(|told| told.made.clone()).chain(["shared".to_owned()]).collect();
    names.sort();
    assert_eq!(listed, names);
    for name in names.iter().filter(|name| *name != "shared") {
        assert!(site.opens(fs::read_to_string(site.path(name)).unwrap().trim_end(), name), "{name}");
    }
    let mut created = BTreeMap::<String, usize>::new();
    for event in site.must("history --json").json().as_array().unwrap() {
        if event["action"] == "key.create" {
            *created.entry(event["subject_name"].as_str().unwrap().to_owned()).or_default() += 1;
        }
    }
    assert!(created.len() == names.len() && created.values().all(|times| *times == 1), "{created:?}");
    site.must("history --check");
}

fn status(guard: &Guard, secret: &str) -> u16 {
    Wire::to(&guard.address).ask(&question("default", secret)).status
}

/// The standby does not know that the key was disabled when it takes over. Processes that do know do not trust it, even
/// when its history has become longer since.
#[test]
#[ignore = "needs PostgreSQL, openssl, root and ip netns"]
fn a_server_that_lost_what_was_acknowledged_is_not_believed() {
    let (mut primary, standby, site) = pair(3);
    let secret = site.mint("deploy");
    let guards = [2, 3].map(|host| site.guard(host));
    let mut batch = Batch::on(&site, 1);
    assert_eq!(batch.ask(&secret)["allowed"], true);
    let told = |wanted| guards.iter().all(|guard| status(guard, &secret) == wanted);
    assert!(told(200));
    // Many at once: every connection to the store knows the key as it was, and not all of them see it disabled.
    let at_once = |guard: &Guard| {
        let mut wires = [(); 16].map(|()| guard.connect());
        for wire in &mut wires {
            wire.send(question("default", &secret));
        }
        wires.map(|mut wire| wire.answer(false).unwrap().status)
    };
    for guard in &guards {
        assert_eq!(at_once(guard), [200; 16], "{}", guard.text());
    }
    eventually(|| has_all(&primary, &standby).then_some(())).unwrap();
    // From here on, the standby receives nothing.
    standby.set("primary_conninfo = ''");
    eventually(|| (primary.sql(OWNER, "SELECT count(*) FROM pg_stat_replication") == "0").then_some(())).unwrap();
    site.must("disable deploy");
    assert_eq!(batch.ask(&secret)["reason"], "key_disabled");
    assert!(told(401));
    primary.kill();
    standby.promote();
    for guard in &guards {
        assert_eq!(at_once(guard), [503; 16], "{}", guard.text());
    }
    // A process that starts now cannot know. The processes that do know must notice.
    assert_eq!(site.verify(1, &secret), 0);
    let is_not_believed = |batch: &mut Batch| {
        let end = Instant::now() + Duration::from_secs(2);
        while Instant::now() < end {
            for guard in &guards {
                assert_eq!(status(guard, &secret), 503, "{}", guard.text());
            }
            let answer = batch.ask(&secret);
            assert!(answer["allowed"].is_null(), "{answer}");
            assert_eq!(answer["error"]["code"], "store_rewound", "{answer}");
        }
    };
    is_not_believed(&mut batch);
    for guard in &guards {
        guard.line(|line| line["event"] == "store_error" && line["code"] == "store_rewound");
        assert_eq!(guard.admin("/readyz").json()["checks"]["store"], "store_rewound");
    }
    // Its history becomes longer than the one they know, but it is a different one.
    for number in 0..5 {
        site.must(&format!("edit deploy --description {number}"));
    }
    is_not_believed(&mut batch);
    assert_eq!(batch.end(), Some(6));
    // A guard that restarts trusts what it finds.
    let [mut guard, _] = guards;
    guard.stop();
    let guard = site.guard(2);
    assert_eq!(status(&guard, &secret), 200);
}
