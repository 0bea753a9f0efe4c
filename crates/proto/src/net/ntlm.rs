//! NTLMSSP messages (MS-NLMP 2.2) wherever they lie: in SMB, DCE/RPC, LDAP, mail. They are found by their signature, so that the wrapping around
//! them (SPNEGO, GSS-API) need not be read.

use event::{Event, Value, field};

use super::login::Login;
use super::ot::{le16, le32};
use super::wording;

const SIGNATURE: &[u8] = b"NTLMSSP\0";

/// What one message says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ntlm {
    Negotiate,
    /// Names of the server and of its domain: DNS names where it gives them.
    Challenge {
        server: Option<String>,
        domain: Option<String>,
    },
    /// Who logs in; an empty user is nobody.
    Authenticate {
        user: String,
        domain: String,
        host: String,
    },
}

/// The first message in these bytes.
pub(crate) fn find(bytes: &[u8]) -> Option<Ntlm> {
    let message = bytes.get(wording::find(bytes, SIGNATURE)?..)?;
    let field = |at: usize| {
        let (length, offset) = (usize::from(le16(message, at)?), usize::try_from(le32(message, at + 4)?).ok()?);
        message.get(offset..offset.checked_add(length)?)
    };
    let wide = |flags_at: usize| le32(message, flags_at).is_none_or(|flags| flags & 1 == 1);
    match le32(message, 8)? {
        1 => Some(Ntlm::Negotiate),
        2 => {
            let (mut server, mut domain) = (None, None);
            let mut pairs = field(40).unwrap_or_default();
            while let (Some(kind), Some(length)) = (le16(pairs, 0), le16(pairs, 2)) {
                let Some(value) = pairs.get(4..4 + usize::from(length)) else { break };
                match kind {
                    0 => break,
                    1 => server = server.or_else(|| Some(wording::utf16(value))),
                    2 => domain = domain.or_else(|| Some(wording::utf16(value))),
                    3 => server = Some(wording::utf16(value)),
                    4 => domain = Some(wording::utf16(value)),
                    _ => {}
                }
                pairs = pairs.get(4 + usize::from(length)..).unwrap_or_default();
            }
            Some(Ntlm::Challenge { server, domain })
        }
        3 => {
            let wide = wide(60);
            let text = |at: usize| {
                let bytes = field(at).unwrap_or_default();
                if wide { wording::utf16(bytes) } else { wording::text(bytes) }
            };
            Some(Ntlm::Authenticate { domain: text(28), user: text(36), host: text(44) })
        }
        _ => None,
    }
}

/// Name of a log-in without a name, as Windows writes it.
pub(crate) const NOBODY: &str = "ANONYMOUS LOGON";

/// A log-in that goes on over several messages.
#[derive(Debug, Clone, Default)]
pub(crate) struct Talk {
    pub login: Login,
    server: Option<String>,
    server_domain: Option<String>,
}

impl Talk {
    /// Takes what an NTLM message in these bytes says; whether there was one.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> bool {
        match find(bytes) {
            None => return false,
            Some(Ntlm::Negotiate) => {}
            Some(Ntlm::Challenge { server, domain }) => (self.server, self.server_domain) = (server, domain),
            Some(Ntlm::Authenticate { user, domain, host }) => {
                let nobody = user.is_empty();
                self.login.user = Some(if nobody { NOBODY.to_owned() } else { user });
                (self.login.domain, self.login.host) = (Some(domain), Some(host));
            }
        }
        self.login.scheme = Some("NTLM");
        true
    }

    /// What the server said of itself.
    pub(crate) fn put(&self, event: &mut Event) {
        let text = |t: &Option<String>| t.as_deref().filter(|t| !t.is_empty()).map(Value::from);
        event.body.set_some(field::NTLM_SERVER, text(&self.server));
        event.body.set_some(field::NTLM_SERVER_DOMAIN, text(&self.server_domain));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_in_is_read_where_it_lies() {
        let mut message = b"\x60\x30wrapping".to_vec();
        let base = message.len();
        message.extend_from_slice(b"NTLMSSP\0\x03\0\0\0");
        let mut put = |length: u16, offset: u32| {
            message.extend_from_slice(&length.to_le_bytes());
            message.extend_from_slice(&length.to_le_bytes());
            message.extend_from_slice(&offset.to_le_bytes());
        };
        put(0, 64);
        put(0, 64);
        put(4, 64);
        put(6, 68);
        put(2, 74);
        put(0, 76);
        message.extend_from_slice(&1u32.to_le_bytes());
        message.extend_from_slice(b"D\0M\0a\0d\0a\0P\0");
        let read = find(&message);
        assert_eq!(read, Some(Ntlm::Authenticate { user: "ada".into(), domain: "DM".into(), host: "P".into() }));
        for cut in base..message.len() {
            let _ = find(&message[..cut]);
        }
    }
}
