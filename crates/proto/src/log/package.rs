//! Packages put in, changed and taken away, as dpkg(1) and dnf(8) write them into logs of their own: name and version that are there afterwards.
//!
//! `status installed openssl:amd64 3.0.15-1~deb12u1`, `status not-installed openssl:amd64 <none>`;
//! `2026-11-23T10:00:00+0800 SUBDEBUG Upgrade: openssl-1:3.0.7-27.el9.x86_64` (name-epoch:version-release.architecture).

use event::{Class, Event, Kind, field};

use super::{Format, Header, SUCCESS};

pub(crate) static DPKG: Format = Format::new("dpkg", &["dpkg"], dpkg).by(&["status installed ", "status not-installed "]);
pub(crate) static DNF: Format = Format::new("dnf", &["installed", "upgrade", "downgrade", "reinstall", "erase"], dnf);

const INSTALL: u8 = 1;
const REMOVE: u8 = 2;

fn dpkg(head: &Header<'_>, event: &mut Event) -> Option<Class> {
    let rest = head.message.trim_start().strip_prefix("status ")?;
    let mut words = rest.split(' ');
    let activity = match words.next()? {
        "installed" => INSTALL,
        "not-installed" => REMOVE,
        _ => return None,
    };
    let (name, version) = (words.next()?, words.next()?);
    if words.next().is_some() {
        return None;
    }
    put(event, activity, name.split(':').next().unwrap_or(name), version)
}

fn dnf(head: &Header<'_>, event: &mut Event) -> Option<Class> {
    // The log's level stands where other logs have a host.
    if head.host != Some("SUBDEBUG") {
        return None;
    }
    let activity = if head.program_word() == "erase" { REMOVE } else { INSTALL };
    let (whole, _architecture) = head.message.trim().rsplit_once('.')?;
    let (rest, release) = whole.rsplit_once('-')?;
    let (name, version) = rest.rsplit_once('-')?;
    put(event, activity, name, &format!("{version}-{release}"))
}

fn put(event: &mut Event, activity: u8, name: &str, version: &str) -> Option<Class> {
    let good = |text: &str| !text.is_empty() && text.len() <= 200 && text.bytes().all(|b| b.is_ascii_graphic());
    if !good(name) || !good(version) {
        return None;
    }
    event.kind = Kind::ApplicationLifecycle;
    event.activity = activity;
    event.body.set(field::EVENT_CODE, if activity == INSTALL { "package_installed" } else { "package_removed" });
    event.body.set(field::STATUS_ID, SUCCESS);
    event.body.set(field::PACKAGE_NAME, name);
    if activity == INSTALL {
        event.body.set(field::PACKAGE_VERSION, version);
    }
    Some(Class::Normal)
}
