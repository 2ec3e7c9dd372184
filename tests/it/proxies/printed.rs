//! What `serve example` prints.

use crate::harness::Sandbox;

const PROXIES: [&str; 8] = ["nginx", "caddy", "traefik", "envoy", "haproxy", "apache", "ingress-nginx", "gateway-api"];

#[test]
fn each_example_names_the_policy_and_the_guard_and_hides_every_credential() {
    let sandbox = Sandbox::empty();
    let credentials = ["authorization", "x-api-key", "x-auth-key", "x-api-auth", "apikey", "x-ignition-api-token"];
    for proxy in PROXIES {
        let output = sandbox.run(&format!("serve example {proxy} --policy rest-1 --listen 192.0.2.7:9999"));
        assert_eq!(output.code, 0, "{output}");
        let text = output.stdout;
        assert!(["forward", "nginx", "original", "envoy"].iter().any(|kind| text.contains(&format!("/{kind}/rest-1"))));
        assert!(text.contains("9999") && !text.contains("@POLICY@") && !text.contains("@GUARD@"), "{text}");
        let in_lower_case = text.to_lowercase();
        for name in credentials {
            assert!(in_lower_case.contains(name), "{proxy}: {name}");
        }
        let is_run = !["traefik", "ingress-nginx", "gateway-api"].contains(&proxy);
        assert_eq!(text.contains("keyward's tests do not run it"), !is_run, "{text}");
    }
}

#[test]
fn an_address_that_a_proxy_cannot_ask_at_is_refused() {
    let sandbox = Sandbox::empty();
    let code = |line: &str| {
        let output = sandbox.run(&format!("serve example {line} --json"));
        if output.code == 0 { output.stdout } else { output.error()["code"].as_str().unwrap().to_owned() }
    };
    for proxy in PROXIES {
        assert_eq!(code(&format!("{proxy} --listen fd:guard")), "invalid_value");
        for odd in ["unix:guard.sock", "unix:/run/a;b", "unix:/run/\"", "unix:/run/a\nb", "unix:/r{un}"] {
            let args = ["serve", "example", proxy, "--json", "--listen", odd].map(str::to_owned);
            assert_eq!(sandbox.run_args(&args, b"").error()["code"], "invalid_value", "{proxy} {odd}");
        }
        let printed = code(&format!("{proxy} --listen unix:/run/keyward/guard.sock,group=www-data"));
        let has_sockets = !["traefik", "ingress-nginx", "gateway-api"].contains(&proxy);
        assert_eq!(printed.contains("/run/keyward/guard.sock"), has_sockets, "{printed}");
        assert_eq!(printed == "invalid_value", !has_sockets, "{printed}");
    }
    assert_eq!(code("nginx --policy Not_One"), "usage");
    assert_eq!(code("squid"), "usage");
    assert!(code("nginx --listen [::1]:9180").contains("server [::1]:9180;"));
    assert!(code("envoy --listen [::1]:9180").contains("address: \"::1\", port_value: 9180"));
}
