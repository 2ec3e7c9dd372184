//! A move can be killed at any moment; the same command finishes it.
//!
//! The kills come at random moments, spread over the time an undisturbed move takes. `KEYWARD_KILLS` says how many.

use std::os::unix::process::ExitStatusExt as _;
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

use super::{Scene, full_store, rows};

const KEYS: u32 = 300;
const KILLS: u32 = 8;

#[test]
#[ignore = "needs postgresql"]
fn a_move_that_is_killed_is_finished_by_the_same_command() {
    let kills = std::env::var("KEYWARD_KILLS").ok().map_or(KILLS, |kills| kills.parse().unwrap());
    let mut random = ChaCha20Rng::seed_from_u64(11);
    let scene = Scene::new();
    let sound = scene.file("sound.db");
    let secrets = full_store(&scene, &sound, KEYS);
    let (was, answers) = (rows(&sound), scene.answers(&sound, &secrets));
    let (mut struck, mut times) = ([0, 0, 0], [Duration::ZERO; 2]);
    for round in 0..kills + 2 {
        let file = scene.file(&format!("keys-{round}.db"));
        scene.done(&sound, &format!("backup {file}"));
        let url = scene.empty_store(&format!("s{round}"));
        // There in one round, and back in the other.
        let to_server = round % 2 == 0;
        if !to_server {
            scene.done(&file, &format!("store move --to {url}"));
        }
        let (from, to) = if to_server { (&file, &url) } else { (&url, &file) };
        let mut command = scene.sandbox.binary(&format!("store move --to {to} -q"));
        let begun = Instant::now();
        let mut moving =
            command.env("KEYWARD_STORE", from).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let taken = &mut times[usize::from(to_server)];
        let ended = if round < 2 {
            let ended = moving.wait().unwrap();
            *taken = begun.elapsed();
            ended
        } else {
            sleep(taken.mul_f64(f64::from(random.next_u32()) / f64::from(u32::MAX)));
            moving.kill().unwrap();
            let ended = moving.wait().unwrap();
            // It finished before the kill: the machine is less busy than at first.
            if ended.signal().is_none() {
                *taken = begun.elapsed().min(*taken);
            }
            ended
        };
        // A killed client's lock stays until the server notices.
        let is_there = wait_for_the_server(&scene, from, to);
        if ended.signal().is_some() {
            let is_marked = scene.refused_or_made(from);
            struck[usize::from(is_marked) + usize::from(is_there)] += 1;
            assert!(is_marked || !is_there, "round {round}: both places take changes");
            if !is_marked {
                scene.done(from, "delete probe --yes");
            }
        }
        scene.done(from, &format!("store move --to {to}"));
        assert_eq!(scene.refused(from, "create x"), "store_moved", "round {round}");
        let copy = scene.file(&format!("copy-{round}.db"));
        scene.done(to, &format!("store copy --to {copy}"));
        let mut now = rows(&copy);
        // The probe left rows in the history.
        now.get_mut("history").unwrap().truncate(was["history"].len());
        now.insert("last_row".to_owned(), was["last_row"].clone());
        assert!(now == was, "round {round}");
        assert_eq!(answers, scene.answers(to, &secrets), "round {round}");
        assert!(scene.done(to, "history --check").starts_with("the history is intact"));
        scene.done(to, "create goes-on");
    }
    println!("killed before the mark, on the way, with the target committed: {struck:?}; times: {times:?}");
    assert!(struck.iter().sum::<u32>() > kills / 4, "{struck:?}");
}

/// What a kill between the target's commit and the source's last mark leaves.
#[test]
#[ignore = "needs postgresql"]
fn a_move_that_was_committed_is_only_marked() {
    let scene = Scene::new();
    let (file, url) = (scene.file("keys.db"), scene.empty_store("s"));
    full_store(&scene, &file, 20);
    for (from, to) in [(&file, &url), (&url, &file)] {
        scene.done(from, &format!("store move --to {to}"));
        let on_its_way = "UPDATE history_head SET is_moved = 0";
        if from == &file {
            rusqlite::Connection::open(from).unwrap().execute_batch(on_its_way).unwrap();
        } else {
            scene.server.sql("keyward", &format!("SET search_path = s; {on_its_way}"));
        }
        let output = scene.run(from, "create x --json");
        assert!(output.error()["message"].as_str().unwrap().contains("is being moved"), "{output}");
        assert!(output.error()["hint"].as_str().unwrap().contains("keyward store move --to"), "{output}");
        // The target is already in use.
        scene.done(to, "create meanwhile");
        assert_eq!(scene.refused(from, &format!("store move --to {}", scene.file("elsewhere.db"))), "store_moved");
        let told = scene.told(to);
        assert!(scene.run(from, &format!("store move --to {to}")).stderr.contains("where it was already"));
        assert!(told == scene.told(to), "nothing was written to it once more");
        let output = scene.run(from, "create x --json");
        assert!(output.error()["message"].as_str().unwrap().contains("was moved"), "{output}");
        scene.done(to, "delete meanwhile --yes");
    }
    // The target cannot be reached: an earlier run's mark stays, and this run's goes.
    let there = scene.url("s").replace("/keyward?", "/nowhere?");
    assert_eq!(scene.refused(&file, &format!("store move --to {there}")), "store_unwritable");
    scene.done(&file, "create goes-on");
}

/// Waits until the killed client is gone, and returns whether the store is at the target.
fn wait_for_the_server(scene: &Scene, from: &str, to: &str) -> bool {
    let others = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' \
                  AND datname = 'keyward' AND pid <> pg_backend_pid()";
    for _ in 0..200 {
        if scene.server.sql("keyward", others) == "0" {
            break;
        }
        sleep(Duration::from_millis(50));
    }
    // An empty store on a server has no keys; a file left behind is marked.
    let keys = |store: &str| scene.run(store, "list -q").stdout.lines().count();
    assert!(keys(from) > 0);
    let newest =
        |store: &str| scene.run(store, "history --json").json().as_array().unwrap().last().unwrap()["seq"].as_i64();
    keys(to) > 0 && newest(to) > newest(from)
}

impl Scene {
    /// Whether the store refuses a key because it has moved or is moving. Otherwise, the key is created.
    fn refused_or_made(&self, store: &str) -> bool {
        let output = self.run(store, "create probe --json");
        assert!(output.code == 0 || output.error()["code"] == "store_moved", "{output}");
        output.code == 6
    }
}
