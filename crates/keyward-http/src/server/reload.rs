//! A reload: the configuration is read again, and replaced as a whole or not at all.

use std::sync::atomic::Ordering;

use tokio::sync::watch;

use super::config::{Address, Config};
use super::listen::{Inherited, ListenError, Socket};
use super::listening::{Duty, Listening, listens_at, places, served};
use super::loops::Loops;
use super::settings::read_settings;
use super::shared::Shared;
use super::{Options, StartError, systemd};

/// Reads the configuration again, and replaces it as a whole or not at all. Unchanged listeners stay open.
pub(super) fn reload(
    shared: &Shared,
    options: &Options,
    sockets: &mut Vec<Listening>,
    inherited: &mut Inherited,
    loops: &Loops,
) {
    systemd::reloading();
    let result = (options.reload)().map_err(|error| error.to_string()).and_then(|config| {
        shared.check_against_store(&config).map_err(|error| error.to_string())?;
        let settings = read_settings(config).map_err(|error| error.to_string())?;
        let change = Change::plan(&settings.config, sockets, inherited, loops).map_err(|error| error.to_string())?;
        change.make(sockets, inherited, loops);
        shared.replace(settings);
        Ok(())
    });
    if let Some(reopen) = &options.reopen_log {
        match reopen() {
            Ok(sink) => shared.log.write_to(sink),
            Err(error) => shared.log.event("error", "log_error", &[("message", error.to_string().into())]),
        }
    }
    let mut status = listens_at(sockets);
    match result {
        Ok(()) => shared.log.event("info", "reload", &served(sockets, &shared.settings().config)),
        Err(message) => {
            shared.config_failures.fetch_add(1, Ordering::Relaxed);
            let fields = [("message", message.into()), ("kept", "the former configuration".into())];
            shared.log.event("error", "reload", &fields);
            status.push_str("; the former configuration is still used, see the log");
        }
    }
    systemd::ready(&status);
}

/// What a reload does to the sockets. Everything that can fail is done while planning.
struct Change {
    /// The sockets from then on: an existing one, by its index, or a new one; with the copies for the loops, if they
    /// need them.
    wanted: Vec<(Source, Address, Duty, Option<Vec<Socket>>)>,
}

enum Source {
    Present(usize),
    Opened(Listening),
}

impl Change {
    fn plan(
        config: &Config,
        sockets: &[Listening],
        inherited: &mut Inherited,
        loops: &Loops,
    ) -> Result<Self, StartError> {
        let mut change = Self { wanted: vec![] };
        let result = change.fill(config, sockets, inherited, loops);
        if let Err(error) = result {
            for (source, ..) in change.wanted {
                if let Source::Opened(listening) = source {
                    listening.give_back(inherited);
                }
            }
            return Err(error);
        }
        Ok(change)
    }

    fn fill(
        &mut self,
        config: &Config,
        sockets: &[Listening],
        inherited: &mut Inherited,
        loops: &Loops,
    ) -> Result<(), StartError> {
        for (address, duty) in places(config) {
            let present = self.present(sockets, &address, duty);
            let source = match present {
                Some(place) if config.trust.is_empty() && !sockets[place].socket.is_local() => {
                    return Err(ListenError::Untrusted(sockets[place].socket.shown(&address)).into());
                }
                Some(place) => Source::Present(place),
                None => Source::Opened(Listening::open(address.clone(), duty, config, inherited)?),
            };
            let copies = match &source {
                Source::Present(place) if sockets[*place].duty == duty => Ok(None),
                Source::Present(place) => sockets[*place].copies(loops).map(Some),
                Source::Opened(listening) => listening.copies(loops).map(Some),
            };
            let (copies, failure) = match copies {
                Ok(copies) => (copies, None),
                Err(error) => (None, Some(error)),
            };
            self.wanted.push((source, address, duty, copies));
            if let Some(error) = failure {
                return Err(StartError::Thread(error));
            }
        }
        self.permit(sockets)
    }

    /// The index of the existing socket. Several sockets with port 0 are all different.
    fn present(&self, sockets: &[Listening], address: &Address, duty: Duty) -> Option<usize> {
        let is_taken =
            |place| self.wanted.iter().any(|(source, ..)| matches!(source, Source::Present(taken) if *taken == place));
        let at_its_place = sockets
            .iter()
            .enumerate()
            .filter(|(place, listening)| listening.address.is_at_the_place_of(address) && !is_taken(*place));
        at_its_place.min_by_key(|(_, listening)| listening.duty != duty).map(|(place, _)| place)
    }

    /// Gives the remaining sockets their new permissions; if that fails, the old ones.
    fn permit(&self, sockets: &[Listening]) -> Result<(), StartError> {
        let mut done: Vec<(&Address, &Address)> = vec![];
        for (source, wanted, ..) in &self.wanted {
            let Source::Present(place) = source else { continue };
            let present = &sockets[*place].address;
            if present == wanted {
                continue;
            }
            if let Err(error) = Socket::permit(present, wanted) {
                for (present, wanted) in done {
                    let _ = Socket::permit(wanted, present);
                }
                return Err(error.into());
            }
            done.push((present, wanted));
        }
        Ok(())
    }

    fn make(self, sockets: &mut Vec<Listening>, inherited: &mut Inherited, loops: &Loops) {
        let mut present: Vec<_> = std::mem::take(sockets).into_iter().map(Some).collect();
        for (source, address, duty, copies) in self.wanted {
            let listening = match source {
                Source::Opened(listening) => Some(listening),
                // It is the same, possibly with other permissions.
                Source::Present(place) if copies.is_none() => {
                    present[place].take().map(|former| Listening { address, ..former })
                }
                Source::Present(place) => present[place].take().map(|former| {
                    let _ = former.close.send(true);
                    Listening { address, duty, socket: former.socket, close: watch::channel(false).0 }
                }),
            };
            let Some(listening) = listening else { continue };
            if let Some(copies) = copies {
                listening.announce(loops, copies);
            }
            sockets.push(listening);
        }
        for listening in present.into_iter().flatten() {
            let _ = listening.close.send(true);
            listening.give_back(inherited);
        }
    }
}
