//! Applications that write one line a failed log-on: a table, one row a wording.
//!
//! `host` says where the program itself writes the address: behind the first mark where the user's text follows it, behind the last mark
//! where the user's text stands before it. A row whose address does not parse gives nothing, so that a near miss stays a plain line.

use event::{Class, Event, LogSource, field};

use super::scan::{after, after_last, place, set_place};
use super::{Format, Header, failed};

/// Programs that write these lines through syslog.
pub(crate) static APPS: Format = Format::new(
    "apps",
    &[
        "roundcube",
        "froxlor",
        "sogod",
        "sogo",
        "bitwarden-identity",
        "bitwarden",
        "vaultwarden",
        "gitea",
        "forgejo",
        "gitlab",
        "grafana",
        "znc",
        "php-fpm",
        "dropbear",
        "jellyfin",
        "radarr",
        "sonarr",
        "mono",
        "prowlarr",
        "llng",
        "lemonldap-ng",
        "meshcentral",
        "https",
        "monit",
        "nrpe",
        "danted",
        "sockd",
        "screensharingd",
        "ftpd",
        "stunnel",
        "webmin",
        "keycloak",
        "authelia",
        "zimbra",
        "smbd",
        "cimserver",
        "slapd",
    ],
    read,
)
.by(&[
    "ailed login",
    "ogin failed",
    "FAILED login",
    "ailed Login",
    "login attempt",
    "Login attempt",
    "failed to login",
    "uthentication attempt",
    "uth-Failure",
    "Invalid username or password",
    "incorrect. Try again",
    "Invalid admin token",
    "Invalid TOTP code",
    "Token is invalid!",
    "Bad Rcon: ",
    "sogo",
    "SOGo",
    "Authentication request for ",
    "LOGIN_ERROR",
    "AUTHENTICATION_FAILED",
    "Failed sign-in",
    "SSL_accept from ",
    "supplied ",
    "access denied -- client ",
    "Login with username ",
    "Incorrect username or password for ",
    "Invalid token provided for ",
    "Unsuccessful 1FA",
    "failed login",
    "authentication attempt by",
    "authentication attempt made by",
    "Error occurred getting details for user",
    "Invalid password for user: ",
    "Exit before auth from <",
    "Bad PAM password attempt",
    "login failure for user ",
    "login is incorrect",
    "ADMIN_LOGIN_FAILED",
    "authentication failed for [",
]);

enum At {
    First(&'static str),
    Last(&'static str),
    /// The line's last word.
    End,
}
use At::{End, First, Last};

struct Row {
    service: &'static str,
    /// What the message must hold.
    sign: &'static str,
    user: Option<(&'static str, &'static str)>,
    host: At,
}

const fn row(service: &'static str, sign: &'static str, user: (&'static str, &'static str), host: At) -> Row {
    Row { service, sign, user: Some(user), host }
}
const fn bare(service: &'static str, sign: &'static str, host: At) -> Row {
    Row { service, sign, user: None, host }
}

static ROWS: &[Row] = &[
    // Mail and groupware.
    row("sogo", "SOGoRootPage Login from '", ("' for user '", "' might not"), First("SOGoRootPage Login from '")),
    row("froxlor", "[Login Action ", ("ser '", "' tried"), First("[Login Action ")),
    row("froxlor", "tried to login", ("\u{0}", "\u{0}"), Last("\"user\":\"")),
    row("tine20", "Login with username ", ("Login with username ", " from "), Last(" from ")),
    row("zimbra", "authentication failed for [", ("authentication failed for [", "]"), First("oip=")),
    row("zimbra", "authentication failed for [", ("authentication failed for [", "]"), First("ip=")),
    // Password keepers and code hosts.
    bare("bitwarden", "Failed login attempt. ", End),
    bare("bitwarden", "Failed login attempt, 2FA invalid. ", End),
    row("vaultwarden", "Username or password is incorrect. Try again. IP: ", (". Username: ", "\u{0}"), First(" IP: ")),
    row("vaultwarden", "Invalid admin token", (". Username: ", "\u{0}"), First(" IP: ")),
    bare("vaultwarden", "Invalid TOTP code! ", First(" IP: ")),
    bare("vaultwarden", "Token is invalid! IP: ", First(" IP: ")),
    row("gitlab", "Failed Login: username=", ("username=", " ip="), Last(" ip=")),
    row("gitea", "Failed authentication attempt for ", ("attempt for ", " from "), Last(" from ")),
    // Desks, media and house.
    row("grafana", "msg=\"Invalid username or password\"", ("uname=", " "), Last(" remote_addr=")),
    row("jellyfin", "Authentication request for ", ("request for ", " has been"), Last("(IP: ")),
    row("paperless", "Login failed for user `", ("user `", "` from"), Last(" IP `")),
    row("sonarr", "Auth-Failure ip ", ("username '", "'"), First("Auth-Failure ip ")),
    row("overseerr", "Failed sign-in attempt", ("\"email\":\"", "\""), First("{\"ip\":\"")),
    row("keycloak", "type=\"LOGIN_ERROR\"", ("username=\"", "\""), First("ipAddress=\"")),
    row("keycloak", "type=LOGIN_ERROR", ("username=", ","), First("ipAddress=")),
    row("guacamole", "Authentication attempt from ", ("for user \"", "\" failed"), First("attempt from ")),
    row("uptime-kuma", "Incorrect username or password for user ", ("for user ", ". IP="), Last(". IP=")),
    row("uptime-kuma", "Invalid token provided for user ", ("for user ", ". IP="), Last(". IP=")),
    bare("stirling-pdf", "Failed login attempt from IP: ", Last("from IP: ")),
    bare("mailu", "Authentication attempt from ", First("attempt from ")),
    row("technitium", "Invalid username or password for user: ", ("for user: ", "\u{0}"), First("[")),
    bare("sabnzbd", "Unsuccessful login attempt from ", First("attempt from ")),
    row("authelia", "Unsuccessful 1FA authentication attempt by user '", ("by user '", "'"), Last(" remote_ip=")),
    // "\u{0}" stands for the end of the line.
    row("authelia", " authentication attempt by user '", ("by user '", "'"), Last(" remote_ip=")),
    row("authelia", "Error occurred getting details for user with username input '", ("username input '", "' which"), Last(" remote_ip=")),
    row("stirling-pdf", "Invalid password for user: ", ("for user: ", " from IP"), Last(" from IP: ")),
    row("overseerr", "Failed login attempt from user with incorrect Jellyfin credentials", ("\"email\":\"", "\""), First("{\"ip\":\"")),
    row("lemonldap", " was not found in LDAP directory (", ("] ", " was not"), Last("directory (")),
    row("lemonldap", "Bad password for ", ("password for ", " ("), Last(" (")),
    bare("dropbear", "Exit before auth from <", First("from <")),
    row("meshcentral", "Failed password for ", ("Failed password for ", " from "), Last(" from ")),
    row("magento", "ADMIN_LOGIN_FAILED", ("\u{0}", "\u{0}"), First("\"ip\":\"")),
    // Network gear, relays and small daemons.
    row("pfsense", "webConfigurator authentication error for user '", ("for user '", "' from"), Last("' from: ")),
    row("mikrotik", "login failure for user ", ("for user ", " from "), Last(" from ")),
    row("znc", "] failed to login from ", ("[", "] failed"), Last("] failed to login from ")),
    bare("game", "Bad Rcon: \"", Last(" from \"")),
    row("dropbear", "Bad PAM password attempt for '", ("attempt for '", "' from"), Last("' from ")),
    row("dropbear", "Bad password attempt for '", ("attempt for '", "' from"), Last("' from ")),
    bare("dropbear", "Login attempt for nonexistent user ", Last(" from ")),
    bare("monit", "supplied unknown user '", First("Client '")),
    bare("monit", "supplied wrong password for user '", First("Client '")),
    bare("monit", "empty password", First("access denied -- client ")),
    row("monit", "wrong password for user '", ("for user '", "'"), First("access denied -- client ")),
    bare("nrpe", " is not allowed to talk to us!", First("Host ")),
    bare("ftp", "repeated login failures from ", First("failures from ")),
    bare("stunnel", "SSL_accept from ", First("SSL_accept from ")),
    row("screensharing", "Authentication: FAILED :: ", ("User Name: ", " :: Viewer"), Last(" :: Viewer Address: ")),
    bare("samba", "Denied connection from ", First("connection from ")),
];

fn read(head: &Header<'_>, event: &mut Event) -> Option<Class> {
    let message = head.message.trim_end();
    if let Some(class) = special(message, head, event) {
        return Some(class);
    }
    for row in ROWS {
        if !message.contains(row.sign) {
            continue;
        }
        let text = match row.host {
            First(mark) => after(message, mark),
            Last(mark) => after_last(message, mark),
            End => message.rsplit(' ').next(),
        };
        let Some(text) = text.filter(|t| place(t.trim_start_matches('[')).is_some()) else { continue };
        source(event, row.service);
        failed(event, row.service, "failed");
        if let Some((open, close)) = row.user {
            let user = after(message, open)
                .map(|r| r.split_once(close).map_or(r, |(u, _)| u).trim_matches(['"', '\'', '`']).trim_end_matches('.'));
            event.body.set_some(field::USER_NAME, user.filter(|u| !u.is_empty() && u.len() <= 256));
        }
        set_place(event, if text.starts_with("[:") || !text.starts_with('[') { text } else { text.trim_start_matches('[') });
        return Some(Class::Critical);
    }
    None
}

fn source(event: &mut Event, service: &'static str) {
    event.source = LogSource::new("linux", "", service);
}

/// Wordings that need more than a mark.
fn special(message: &str, head: &Header<'_>, event: &mut Event) -> Option<Class> {
    if let Some((service, user, host)) =
        roundcube(message).or_else(|| dante(message)).or_else(|| directadmin(message)).or_else(|| monit(message))
    {
        place(host)?;
        source(event, service);
        failed(event, service, "failed");
        event.body.set_some(field::USER_NAME, user.filter(|u| !u.is_empty()));
        set_place(event, host);
        return Some(Class::Critical);
    }
    // Apereo CAS: `…|CAS|Supplied credentials: […]|AUTHENTICATION_FAILED|user|client|server`.
    if message.contains("|AUTHENTICATION_FAILED|") {
        let mut parts = after_last(message, "|AUTHENTICATION_FAILED|")?.split('|');
        let (user, host) = (parts.next()?, parts.next()?);
        place(host)?;
        source(event, "cas");
        failed(event, "cas", "failed");
        event.body.set(field::USER_NAME, user);
        set_place(event, host);
        return Some(Class::Critical);
    }
    if let Some((_, rest)) = message.split_once(" authentication attempt made by user '").filter(|(m, _)| m.contains("msg=\"Successful ")) {
        let host = after_last(rest, " remote_ip=")?;
        place(host)?;
        source(event, "authelia");
        super::authentication(event, "authelia", super::SUCCESS);
        event.body.set_some(field::USER_NAME, rest.split('\'').next());
        set_place(event, host);
        return Some(Class::Critical);
    }
    if let Some(rest) = message.strip_prefix("Authentication: SUCCEEDED :: User Name: ") {
        let (user, rest) = rest.rsplit_once(" :: Viewer Address: ")?;
        place(rest)?;
        source(event, "screensharing");
        super::authentication(event, "screensharing", super::SUCCESS);
        event.body.set(field::USER_NAME, user.trim());
        set_place(event, rest);
        return Some(Class::Critical);
    }
    // No address: `PGS17200: Authentication failed for user bob.`
    if head.program_word() == "cimserver" {
        let user = after(message, "Authentication failed for user ")?;
        failed(event, "cim", "failed");
        event.body.set(field::USER_NAME, user.trim_end_matches('.'));
        return Some(Class::Critical);
    }
    None
}

/// `IMAP Error: Login failed for USER[ against H] from IP[(X-Real-IP: …)]. AUTHENTICATE PLAIN: …`, `Failed login for USER from IP in session …`.
/// The user may write ` from 192.0.2.1`; the mail server's answer behind the address may repeat the user.
fn roundcube(message: &str) -> Option<(&'static str, Option<&str>, &str)> {
    let lower = message.get(..96.min(message.len())).map_or_else(|| message.to_ascii_lowercase(), str::to_ascii_lowercase);
    let at = lower.find("failed login for ").or_else(|| lower.find("login failed for "))?;
    let rest = message.get(at + "login failed for ".len()..)?;
    if rest.starts_with("user `") {
        return None;
    }
    let end = rest.rfind(". AUTHENTICATE ").or_else(|| rest.rfind(". LOGIN:")).or_else(|| rest.rfind(" in session ")).unwrap_or(rest.len());
    let (user, host) = rest.get(..end)?.rsplit_once(" from ")?;
    Some(("roundcube", user.split(" against ").next(), host))
}

/// `info: block(1): tcp/accept ]: 192.0.2.1.50550 0.0.0.0.1080: error after …: system password authentication failed for user "bob"`
fn dante(message: &str) -> Option<(&'static str, Option<&str>, &str)> {
    let rest = after(message, "tcp/accept ]: ").filter(|_| message.starts_with("info: block("))?;
    let bad = rest.contains("authentication failed for user \"")
        || rest.contains("could not access user \"")
        || rest.contains("pam_authenticate() for user \"");
    let (host, _port) = rest.split(' ').next().filter(|_| bad)?.rsplit_once('.')?;
    Some(("socks", after(rest, " user \"").and_then(|u| u.split('"').next()), host))
}

/// `'192.0.2.1' 2 failed login attempts. Account 'bob'`
fn directadmin(message: &str) -> Option<(&'static str, Option<&str>, &str)> {
    let (host, rest) = message.strip_prefix('\'')?.split_once("' ")?;
    let user = after(rest, " failed login attempt").and_then(|r| after(r, "ccount '"))?;
    Some(("directadmin", user.split('\'').next(), host))
}

/// `HttpRequest: access denied -- client 192.0.2.1: unknown user 'bob'`; an empty name is a browser asking first.
fn monit(message: &str) -> Option<(&'static str, Option<&str>, &str)> {
    let rest = message
        .strip_prefix("HttpRequest: access denied -- client ")
        .or_else(|| after(message, ": HttpRequest: access denied -- client "))?;
    let (host, why) = rest.split_once(": ")?;
    let user = after(why, "unknown user '").and_then(|u| u.strip_suffix('\''))?;
    (!user.is_empty()).then_some(("monit", Some(user), host))
}

/// Drupal's syslog line has nine fields between bars: base, time, type, address, request, referrer, user id, link, message. The request and
/// referrer may hold bars themselves; then nothing is taken but from lines where the fields can be told from both ends.
pub(crate) static DRUPAL: Format = Format::new("drupal", &[], drupal).by(&["|user|"]).anywhere();

fn drupal(head: &Header<'_>, event: &mut Event) -> Option<Class> {
    let message = head.message.trim_end();
    let mut parts = message.split('|');
    let (base, time, kind, host) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let plain = base.starts_with("http") && time.bytes().all(|c| c.is_ascii_digit()) && kind == "user";
    let last = message.rsplit('|').next().filter(|_| plain)?;
    let user = last.strip_prefix("Login attempt failed for ").or_else(|| last.strip_prefix("Login attempt failed from "))?;
    place(host)?;
    failed(event, "drupal", "failed");
    event.body.set(field::USER_NAME, user.trim_end_matches('.'));
    set_place(event, host);
    Some(Class::Critical)
}
