//! End to end on real input: what real curl sends goes to `verify --request`.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::Command;

use jiff::ToSpan as _;

use crate::harness::Sandbox;

/// Has curl send one request to a listener on loopback; returns the bytes of its head.
fn capture(args: &[&str]) -> Vec<u8> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut curl = Command::new("curl")
        .args(["--silent", "--max-time", "10"])
        .args(args)
        .arg(format!("http://{address}/orders?page=2"))
        .spawn()
        .expect("curl");
    let (mut connection, _) = listener.accept().unwrap();
    let mut head = vec![];
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        let mut bytes = [0; 4096];
        let count = connection.read(&mut bytes).unwrap();
        assert_ne!(count, 0, "curl sent no whole head");
        head.extend_from_slice(&bytes[..count]);
    }
    connection.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
    drop(connection);
    assert!(curl.wait().unwrap().success());
    head
}

#[test]
#[ignore = "needs curl"]
fn the_life_of_a_key_as_curl_sees_it() {
    let sandbox = Sandbox::new();
    let secret = sandbox.mint("deploy --scope rest --read-only --allow-ip 127.0.0.0/8 --expires 30d");
    let request = capture(&["--header", &format!("Authorization: Bearer deploy:{secret}")]);
    let request = String::from_utf8(request).unwrap();
    let context = "--request --transport https --ip 127.0.0.1 --scope rest";

    let answer = sandbox.run_with(&format!("verify --json {context}"), &request).json();
    assert_eq!((&answer["allowed"], &answer["presentation"]), (&true.into(), &"bearer_named".into()));
    assert_eq!(sandbox.reason("--request --ip 127.0.0.1", &request), "insecure_transport");
    sandbox.run("disable deploy");
    assert_eq!(sandbox.reason(context, &request), "key_disabled");
    sandbox.run("enable deploy");
    assert_eq!(sandbox.reason(context, &request), "allowed");
    assert_eq!(sandbox.reason(&format!("{context} --at 2026-06-01"), &request), "key_expired");
    sandbox.pass(30.days());
    assert_eq!(sandbox.reason(context, &request), "key_expired");
    sandbox.run("edit deploy --expires 1d");
    assert_eq!(sandbox.reason(context, &request), "allowed");
    sandbox.run("delete deploy --yes");
    assert_eq!(sandbox.reason(context, &request), "not_genuine");
}

#[test]
#[ignore = "needs curl"]
fn other_ways_in_which_curl_presents_a_key() {
    let sandbox = Sandbox::new();
    let secret = sandbox.mint("deploy --allow-insecure --read-only");
    for (args, presentation, status) in [
        (vec!["--header".to_owned(), format!("x-api-key: {secret}")], "x_api_key", 200),
        (vec!["--user".to_owned(), format!("{secret}:")], "basic", 200),
        (vec!["--user".to_owned(), format!("someone:{secret}")], "basic", 200),
        (vec!["--oauth2-bearer".to_owned(), secret.clone()], "bearer", 200),
        (vec!["--request".to_owned(), "POST".to_owned(), "--oauth2-bearer".to_owned(), secret.clone()], "bearer", 403),
    ] {
        let args: Vec<_> = args.iter().map(String::as_str).collect();
        let answer = sandbox.run_with("verify --json --request", capture(&args)).json();
        assert_eq!((&answer["presentation"], &answer["status"]), (&presentation.into(), &status.into()), "{args:?}");
    }
}
