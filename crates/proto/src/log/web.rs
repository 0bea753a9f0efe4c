//! Web servers: access lines in common and combined format (nginx, Apache, lighttpd), Apache and nginx error logs.

use event::{Class, Event, Kind, LogSource, Timestamp, Value, field};

use super::scan::{after, between, set_source};
use super::{FAILURE, Format, Header, Line, SUCCESS};

/// httpd and nginx writing to syslog.
pub(crate) static HTTPD: Format = Format::new("httpd", &["httpd", "apache2", "apache", "nginx"], in_syslog);

pub(super) fn in_syslog(head: &Header<'_>, event: &mut Event) -> Option<Class> {
    let product = match head.program_word().as_str() {
        "nginx" => "nginx",
        "lighttpd" => "lighttpd",
        _ => "apache",
    };
    event.source = LogSource::new(product, "webserver", "");
    access(head.message, event).or_else(|| apache_error(head.message, event)).or_else(|| nginx_error(head.message, event))
}

/// Lines without a syslog header; gives `None` where the line is none of them.
pub(super) fn line(text: &str, line: &Line<'_>, event: &mut Event) -> Option<Class> {
    match line.format {
        Some("access") => return access(text, event),
        Some("apache_error") => return apache_error_line(text, line, event),
        Some("nginx_error") => return nginx_error_line(text, line, event),
        Some(_) => return None,
        None => {}
    }
    if text.starts_with('[') {
        return apache_error_line(text, line, event);
    }
    if text.as_bytes().first().is_some_and(u8::is_ascii_digit) && text.as_bytes().get(4) == Some(&b'/') {
        return nginx_error_line(text, line, event);
    }
    access(text, event)
}

/// `1.2.3.4 - bob [10/Oct/2000:13:55:36 -0700] "GET /a?b HTTP/1.0" 200 2326 "referrer" "agent"`, with an optional virtual host in front.
fn access(text: &str, event: &mut Event) -> Option<Class> {
    let open = text.find(" [")?;
    let close = text.get(open..)?.find("] \"").map(|at| at + open)?;
    let time = clf_time(text.get(open + 2..close)?)?;
    let (forwarded, before) = address_list(text.get(..open)?);
    let mut words = before.split(' ');
    let first = words.next()?;
    let second = words.next().unwrap_or("-");
    let third = words.next();
    let vhost = super::scan::address(first).is_none() && third.is_some() && second != "-";
    let (host, user) = if vhost { (second, before.rsplit(' ').next().unwrap_or("-")) } else { (first, third.unwrap_or("-")) };
    // A trailing colon is a syslog tag: the line has a header before the access record.
    if host.is_empty() || host.ends_with(':') || host.contains(['"', '[']) {
        return None;
    }
    let rest = text.get(close + 3..)?;
    let (request, rest) = quoted_end(rest)?;
    let mut after_request = rest.trim_start().split(' ');
    let status: u16 = after_request.next()?.parse().ok().filter(|s| (100..=999).contains(s))?;
    event.kind = Kind::HttpActivity;
    if event.source.category.is_none() {
        event.source = LogSource::new("", "webserver", "");
    }
    event.time = time;
    set_source(event, host, None);
    if vhost {
        event.body.set(field::DST_HOSTNAME, first.split(':').next().unwrap_or(first));
    }
    if !forwarded.is_empty() {
        event.body.set(field::HTTP_X_FORWARDED_FOR, forwarded);
    }
    if user != "-" {
        event.body.set(field::USER_NAME, user);
    }
    request_line(&request, event);
    event.body.set(field::HTTP_STATUS, status);
    event.body.set(field::STATUS_ID, if status < 400 { SUCCESS } else { FAILURE });
    event.body.set_some(field::HTTP_LENGTH, after_request.next().and_then(|n| n.parse::<u64>().ok()));
    let mut quotes = rest;
    for f in [field::HTTP_REFERRER, field::HTTP_USER_AGENT] {
        let Some((_, from)) = quotes.split_once('"') else { break };
        let Some((value, left)) = quoted_end(from) else { break };
        if value != "-" && !value.is_empty() {
            event.body.set(f, value);
        }
        quotes = left;
    }
    Some(Class::Normal)
}

/// `$http_x_forwarded_for` in front: `10.0.0.2, 192.0.2.1 - - `, `"10.0.0.2" 192.0.2.1 - - `. The list without its last address, and the text
/// from there: the last is the one the nearest proxy wrote, those before it are what it was told.
fn address_list(text: &str) -> (Vec<Value>, &str) {
    let (mut list, mut rest) = (Vec::new(), text.trim_start());
    while list.len() < 16 {
        let Some((word, after)) = rest.split_once(' ') else { break };
        let bare = word.trim_matches(['"', ',']);
        match super::scan::address(bare) {
            Some(ip) if word.ends_with([',', '"']) => list.push(Value::from(ip)),
            _ => break,
        }
        rest = after;
    }
    (list, rest)
}

/// Text up to the closing quote (a quote inside is escaped by a backslash, or by `\x22`), and what follows.
fn quoted_end(text: &str) -> Option<(String, &str)> {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 1,
            b'"' => return Some((text.get(..at)?.replace("\\\"", "\""), text.get(at + 1..)?)),
            _ => {}
        }
        at += 1;
    }
    None
}

/// `GET /path?query HTTP/1.1`; what is no request line stays whole as the target, since it may be the attack.
pub(super) fn request_line(text: &str, event: &mut Event) {
    let (method, rest) = text.split_once(' ').filter(|(m, _)| is_method(m)).unwrap_or(("", text));
    let (target, version) = match rest.rsplit_once(" HTTP/") {
        Some((target, version)) => (target, Some(version)),
        None => (rest, None),
    };
    event.body.set_some(field::HTTP_VERSION, version);
    request(method, target, event);
}

fn is_method(word: &str) -> bool {
    !word.is_empty() && word.len() <= 32 && word.bytes().all(|c| c.is_ascii_alphabetic() || c == b'-' || c == b'_')
}

pub(super) fn request(method: &str, target: &str, event: &mut Event) {
    if is_method(method) {
        event.body.set(field::HTTP_METHOD, method);
        // OCSF http_activity: 1 CONNECT 2 DELETE 3 GET 4 HEAD 5 OPTIONS 6 POST 7 PUT 8 TRACE 9 PATCH.
        event.activity = ["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "POST", "PUT", "TRACE", "PATCH"]
            .iter()
            .position(|m| *m == method)
            .map_or(99, |n| n as u8 + 1);
    } else {
        event.activity = 99;
    }
    event.body.set(field::HTTP_URL, target);
    let (path, query) = target.split_once('?').map_or((target, None), |(p, q)| (p, Some(q)));
    event.body.set(field::HTTP_PATH, path);
    event.body.set_some(field::HTTP_QUERY, query);
}

/// `10/Oct/2000:13:55:36 -0700`
pub(super) fn clf_time(text: &str) -> Option<Timestamp> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (stamp, zone) = text.split_once(' ').unwrap_or((text, "+0000"));
    let (date, clock) = stamp.split_once(':')?;
    let mut parts = date.split('/');
    let (day, month, year) = (parts.next()?, parts.next()?, parts.next()?);
    let month = MONTHS.iter().position(|m| *m == month)? + 1;
    let zone = zone.get(..3).zip(zone.get(3..5))?;
    Timestamp::parse_rfc3339(&format!("{year}-{month:02}-{day:0>2}T{clock}{}:{}", zone.0, zone.1))
}

/// `[Sat Jul 20 21:34:49.453232 2013] [auth_basic:error] [pid 1:tid 2] [client 1.2.3.4:5] AH01618: user bob not found: /path`
fn apache_error_line(text: &str, line: &Line<'_>, event: &mut Event) -> Option<Class> {
    let (stamp, rest) = text.strip_prefix('[')?.split_once("] ")?;
    // The date may have been taken off on the way: `[error] [client 1.2.3.4] …`.
    let undated = matches!(stamp, "error" | "notice" | "warn" | "info" | "crit" | "alert")
        && (rest.starts_with("[client ") || rest.starts_with("Apache"));
    let time = apache_time(stamp, line.utc_offset_secs).or_else(|| undated.then_some(line.received))?;
    event.source = LogSource::new("apache", "webserver", "error");
    event.time = time;
    let pid = between(rest, "[pid ", "]").filter(|_| rest.find("[pid ").is_some_and(|at| at < 40));
    event.body.set_some(field::PROCESS_PID, pid.and_then(|p| p.split(':').next()).and_then(|p| p.parse::<i64>().ok()));
    event.body.set(field::MESSAGE, rest);
    Some(apache_error(rest, event).unwrap_or(Class::Bulk))
}

/// `Sat Jul 20 21:34:49.453232 2013`: the fraction stands before the year.
fn apache_time(stamp: &str, offset: i32) -> Option<Timestamp> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mut parts = stamp.split_ascii_whitespace();
    let (_, month, day, clock, year) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let month = MONTHS.iter().position(|m| *m == month)? + 1;
    Some(Timestamp::parse_rfc3339(&format!("{year}-{month:02}-{day:0>2}T{clock}Z"))?.plus_secs(-i64::from(offset)))
}

fn apache_error(text: &str, event: &mut Event) -> Option<Class> {
    let client = between(text, "[client ", "] ").or_else(|| between(text, "[remote ", "] "))?;
    let message = after(text, &format!("{client}] "))?;
    // `1.2.3.4:80`, `[2001:db8::1]:80`, or a bare IPv6 address, whose last colon is no port.
    let (host, port) = match client.rsplit_once(':') {
        Some((host, port)) if host.ends_with(']') || !host.contains(':') => (host, Some(port)),
        _ => (client, None),
    };
    set_source(event, host, port);
    let bare = message.split_once(": ").filter(|(code, _)| code.starts_with("AH") && code.len() == 7).map_or(message, |(_, m)| m);
    let bare = bare.strip_prefix("Digest: ").unwrap_or(bare);
    let code = match () {
        () if bare.starts_with("user ")
            && (bare.contains(" not found")
                || bare.contains("authentication failure for")
                || bare.contains("authorization failure for")
                || bare.contains("password mismatch")) =>
        {
            "auth_failed"
        }
        () if bare.starts_with("Authorization of user ") && bare.contains(" failed") => "auth_failed",
        () if bare.starts_with("client used wrong authentication scheme") => "auth_failed",
        () if bare.starts_with("invalid qop ") || bare.starts_with("realm mismatch") || bare.starts_with("unknown algorithm ") => {
            "auth_failed"
        }
        () if bare.starts_with("invalid nonce ") && (bare.contains("length is not") || bare.contains("time travel")) => "auth_failed",
        () if bare.starts_with("client denied by server configuration") => "access_denied",
        () if bare.contains(" provided via SNI") => "sni_mismatch",
        () if bare.starts_with("script not found")
            || bare.starts_with("File does not exist")
            || bare.contains("not found or unable to stat")
            || bare.contains("Got error 'Primary script unknown") =>
        {
            "not_found"
        }
        () if bare.contains("ignoring function definition attempt") || bare.contains("error importing function definition for ") => {
            "shellshock"
        }
        () if php_logon(bare).is_some() => "auth_failed",
        () => return Some(Class::Bulk),
    };
    event.body.set(field::EVENT_CODE, code);
    event.body.set(field::STATUS_ID, FAILURE);
    if code == "auth_failed" {
        event.kind = Kind::Authentication;
        event.activity = 1;
        event.body.set(field::SERVICE_NAME, "http");
        event.body.set(field::AUTH_PROTOCOL, "http");
        let user = bare.strip_prefix("user ").or_else(|| bare.strip_prefix("Authorization of user "));
        let user = user.map(|u| {
            u.trim_start_matches('`')
                .split([':', '\''])
                .next()
                .unwrap_or("")
                .split(" not found")
                .next()
                .unwrap_or("")
                .split(" to access")
                .next()
                .unwrap_or("")
                .trim()
        });
        event.body.set_some(field::USER_NAME, user.or_else(|| php_logon(bare)).filter(|u| !u.is_empty()));
        return Some(Class::Critical);
    }
    event.kind = Kind::HttpActivity;
    event.activity = 99;
    Some(Class::Normal)
}

/// The user of a PHP application's own message: `Failed login for bob`, `PHP message: user bob authentication failure for Baikal`.
fn php_logon(text: &str) -> Option<&str> {
    if let Some(rest) = after(text, "Failed login for ")
        .filter(|_| text.starts_with("Failed login for ") || text.contains("PHP message: Failed login for "))
    {
        return Some(rest.split([',', '"', ' ']).next().unwrap_or(rest));
    }
    let (user, _) = after(text, "PHP message: user ")?.split_once(" authentication failure for ")?;
    Some(user)
}

/// `2012/04/09 11:53:29 [error] 2865#0: *66647 user "xyz" was not found in "…", client: 1.2.3.4, server: www, request: "GET / HTTP/1.1", host: "…"`
fn nginx_error_line(text: &str, line: &Line<'_>, event: &mut Event) -> Option<Class> {
    let (stamp, rest) = (text.get(..19)?, text.get(19..)?.strip_prefix(" [")?);
    // A level in brackets, not an address as others write there.
    rest.split(']').next().filter(|level| level.len() <= 8 && level.bytes().all(|c| c.is_ascii_lowercase()))?;
    let time = Timestamp::parse_rfc3339(&format!("{}Z", stamp.replace('/', "-")))?.plus_secs(-i64::from(line.utc_offset_secs));
    event.source = LogSource::new("nginx", "webserver", "error");
    event.time = time;
    event.body.set(field::MESSAGE, rest);
    Some(nginx_error(rest, event).unwrap_or(Class::Bulk))
}

fn nginx_error(text: &str, event: &mut Event) -> Option<Class> {
    // The client follows what the request said, which may hold `, client: ` itself: the last one before `, server:` is nginx's own.
    let head = text.split(", server: ").next().unwrap_or(text);
    let host = super::scan::after_last(head, ", client: ")?.split(',').next()?;
    set_source(event, host, None);
    if let Some(request) = between(text, "request: \"", "\"") {
        request_line(request, event);
    }
    let failed = (text.contains("was not found in \"") && text.contains("user \""))
        || text.contains("password mismatch")
        || text.contains("no user/password was provided")
        || php_logon(head).is_some();
    if failed {
        event.kind = Kind::Authentication;
        event.activity = 1;
        event.body.set(field::STATUS_ID, FAILURE);
        event.body.set(field::SERVICE_NAME, "http");
        event.body.set(field::AUTH_PROTOCOL, "http");
        event.body.set(field::EVENT_CODE, "auth_failed");
        event.body.set_some(field::USER_NAME, between(text, "user \"", "\"").or_else(|| php_logon(head)));
        return Some(Class::Critical);
    }
    event.kind = Kind::HttpActivity;
    event.activity = 99;
    let code = match () {
        () if head.contains("limiting requests, excess: ") || head.contains("limiting connections by zone ") => "rate_limited",
        () if head.contains("delaying request, excess: ") => "rate_delayed",
        () if head.contains("access forbidden by rule") => "access_denied",
        () if head.contains("(2: No such file or directory)") => "not_found",
        () => return Some(Class::Normal),
    };
    event.body.set(field::EVENT_CODE, code);
    event.body.set(field::STATUS_ID, FAILURE);
    Some(Class::Normal)
}
