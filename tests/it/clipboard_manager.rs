//! A clipboard manager does not get the secret, under a real X server.
//!
//! This one acts like desktop clipboard managers: it keeps what is copied, except what is marked as a password (like
//! Klipper), and takes over the clipboard from a program that exits (freedesktop.org, "Clipboard Manager").

use std::process::Stdio;
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use x11rb::connection::Connection as _;
use x11rb::protocol::Event;
use x11rb::protocol::xfixes::{ConnectionExt as _, SelectionEventMask};
use x11rb::protocol::xproto::{
    Atom, AtomEnum, ConnectionExt as _, CreateWindowAux, EventMask, GetPropertyReply, SELECTION_NOTIFY_EVENT,
    SelectionNotifyEvent, Window, WindowClass,
};
use x11rb::rust_connection::RustConnection;
use x11rb::{COPY_FROM_PARENT, CURRENT_TIME, NONE};

use crate::clipboard::XServer;
use crate::harness::{Sandbox, finish};

x11rb::atom_manager! {
    Atoms: AtomsCookie {
        ANSWER,
        CLIPBOARD,
        CLIPBOARD_MANAGER,
        PASSWORD_HINT: b"x-kde-passwordManagerHint",
        SAVE_TARGETS,
        TARGETS,
        UTF8_STRING,
    }
}

/// A program with a window, needed to own or request a selection.
struct Peer {
    connection: RustConnection,
    window: Window,
    atoms: Atoms,
}

impl Peer {
    fn start(server: &XServer) -> Self {
        let (connection, screen) = x11rb::connect(Some(&server.display)).unwrap();
        let (root, window) = (connection.setup().roots[screen].root, connection.generate_id().unwrap());
        let (class, more) = (WindowClass::INPUT_ONLY, CreateWindowAux::new());
        connection.create_window(0, window, root, 0, 0, 1, 1, 0, class, COPY_FROM_PARENT, &more).unwrap();
        let atoms = Atoms::new(&connection).unwrap().reply().unwrap();
        Self { connection, window, atoms }
    }

    /// The answer of a selection's owner, if there is one and it offers this target.
    fn ask(&self, selection: Atom, target: Atom) -> Option<GetPropertyReply> {
        let Self { connection, window, atoms } = self;
        connection.convert_selection(*window, selection, target, atoms.ANSWER, CURRENT_TIME).ok()?;
        connection.flush().ok()?;
        let answer = loop {
            if let Event::SelectionNotify(answer) = connection.wait_for_event().ok()? {
                break answer;
            }
        };
        let property = Some(answer.property).filter(|property| *property != NONE)?;
        connection.get_property(true, *window, property, AtomEnum::ANY, 0, 1024).ok()?.reply().ok()
    }

    fn sees_a_password(&self) -> bool {
        let Atoms { CLIPBOARD, TARGETS, PASSWORD_HINT, .. } = self.atoms;
        let targets = self.ask(CLIPBOARD, TARGETS);
        targets.is_some_and(|targets| targets.value32().unwrap().any(|target| target == PASSWORD_HINT))
            && self.ask(CLIPBOARD, PASSWORD_HINT).is_some_and(|hint| hint.value == b"secret")
    }

    fn text(&self) -> String {
        let answer = self.ask(self.atoms.CLIPBOARD, self.atoms.UTF8_STRING);
        answer.map(|answer| String::from_utf8(answer.value).unwrap()).unwrap_or_default()
    }
}

/// What the manager did.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Recorded(String),
    LeftOut,
    TookOver(String),
    SawNoOwner,
}

/// Starts a manager that ends with the server, and returns its steps.
fn start_manager(server: &XServer) -> Receiver<Step> {
    // It asks over a separate connection, so that no event is lost while it waits for an answer.
    let (manager, reader) = (Peer::start(server), Peer::start(server));
    let Peer { connection, window, atoms } = manager;
    let every_change = SelectionEventMask::SET_SELECTION_OWNER
        | SelectionEventMask::SELECTION_WINDOW_DESTROY
        | SelectionEventMask::SELECTION_CLIENT_CLOSE;
    connection.xfixes_query_version(5, 0).unwrap().reply().unwrap();
    connection.xfixes_select_selection_input(window, atoms.CLIPBOARD, every_change).unwrap().check().unwrap();
    connection.set_selection_owner(window, atoms.CLIPBOARD_MANAGER, CURRENT_TIME).unwrap().check().unwrap();
    let (sender, steps) = mpsc::channel();
    std::thread::spawn(move || {
        while let Ok(event) = connection.wait_for_event() {
            let step = match event {
                Event::XfixesSelectionNotify(change) if change.owner == NONE => Step::SawNoOwner,
                Event::XfixesSelectionNotify(_) if reader.sees_a_password() => Step::LeftOut,
                Event::XfixesSelectionNotify(_) => Step::Recorded(reader.text()),
                Event::SelectionRequest(request) if request.target == atoms.SAVE_TARGETS => {
                    let step = Step::TookOver(reader.text());
                    let done = SelectionNotifyEvent {
                        response_type: SELECTION_NOTIFY_EVENT,
                        sequence: 0,
                        time: request.time,
                        requestor: request.requestor,
                        selection: request.selection,
                        target: request.target,
                        property: request.property,
                    };
                    let _ = connection.send_event(false, request.requestor, EventMask::NO_EVENT, done);
                    let _ = connection.flush();
                    step
                }
                _ => continue,
            };
            let _ = sender.send(step);
        }
    });
    steps
}

fn copy(server: &XServer, text: &str) {
    let mut xclip = server.xclip(&["-in"]);
    let mut xclip = xclip.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    std::io::Write::write_all(&mut xclip.stdin.take().unwrap(), text.as_bytes()).unwrap();
    assert!(xclip.wait().unwrap().success());
}

#[test]
#[ignore = "needs Xvfb and xclip"]
fn a_clipboard_manager_does_not_get_the_secret() {
    let server = XServer::start();
    let steps = start_manager(&server);
    // All steps in order: nothing else happened.
    let next = || steps.recv_timeout(Duration::from_secs(20)).unwrap();

    // It gets an ordinary copy both ways.
    copy(&server, "before");
    assert_eq!(next(), Step::Recorded("before".to_owned()));
    let other = Peer::start(&server);
    other.ask(other.atoms.CLIPBOARD_MANAGER, other.atoms.SAVE_TARGETS).unwrap();
    assert_eq!(next(), Step::TookOver("before".to_owned()));

    // The keeper times out.
    let sandbox = Sandbox::new();
    let output = finish(sandbox.binary("create new --copy --clear-after 4s").env("DISPLAY", &server.display));
    assert_eq!(output.code, 0, "{output}");
    assert_eq!(sandbox.reason("", &server.pasted()), "allowed");
    assert_eq!((next(), next()), (Step::LeftOut, Step::SawNoOwner));

    // The keeper is killed.
    let mut keeper = sandbox.binary("hold-clipboard 60");
    keeper.env("DISPLAY", &server.display).stdin(Stdio::piped()).stdout(Stdio::null());
    let mut keeper = keeper.spawn().unwrap();
    std::io::Write::write_all(&mut keeper.stdin.take().unwrap(), b"a made-up secret").unwrap();
    assert_eq!((next(), server.pasted().as_str()), (Step::LeftOut, "a made-up secret"));
    kill_process(Pid::from_child(&keeper), Signal::TERM).unwrap();
    assert!(!keeper.wait().unwrap().success());
    assert_eq!(next(), Step::SawNoOwner);

    copy(&server, "after");
    assert_eq!(next(), Step::Recorded("after".to_owned()));
}
