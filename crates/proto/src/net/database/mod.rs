//! Log-ins to databases: MySQL, PostgreSQL, MS SQL Server, MongoDB, Redis. Who, to which database, with which outcome; of Redis also the commands that
//! change the server itself. Queries are not looked at.
//!
//! A connection that goes on in TLS is read as that. A password is never kept. Limits: `HEAD_BYTES` of a message are looked at; once a log-in
//! is settled a parser of MySQL, PostgreSQL, MS SQL or MongoDB stops reading.

mod mongodb;
mod mysql;
mod postgresql;
mod redis;
mod tds;

pub use self::mongodb::MONGODB;
pub use self::mysql::MYSQL;
pub use self::postgresql::POSTGRESQL;
pub use self::redis::REDIS;
pub use self::tds::TDS;

use super::login::{self, Login, Outcome};
use super::{Emit, Side};
use event::{Timestamp, field};

const HEAD_BYTES: usize = 4 << 10;

/// What a log-in to a database is told with.
#[derive(Default)]
struct Entry {
    login: Login,
    database: Option<String>,
    server: Option<String>,
    client: Option<String>,
    told: bool,
}

impl Entry {
    fn tell(
        &mut self,
        service: &'static str,
        by: Side,
        outcome: Outcome,
        code: Option<i64>,
        text: Option<&[u8]>,
        time: Timestamp,
        out: &mut dyn Emit,
    ) {
        self.told = true;
        let filled = |t: &Option<String>| t.clone().filter(|t| !t.is_empty());
        let mut event = self.login.clone().event(service, outcome, time);
        event.body.set_some(field::DATABASE_NAME, filled(&self.database));
        event.body.set_some(field::SERVER_SOFTWARE, filled(&self.server));
        event.body.set_some(field::CLIENT_SOFTWARE, filled(&self.client));
        event.body.set_some(field::REPLY_CODE, code);
        login::tell(by, event, text, out);
    }
}

/// Fields of every database's log-in.
macro_rules! fields {
    ($($more:expr),* $(,)?) => {
        $crate::net::login::fields![
            field::DATABASE_NAME,
            field::SERVER_SOFTWARE,
            field::CLIENT_SOFTWARE,
            field::REPLY_CODE,
            $($more),*
        ]
    };
}
use fields;

#[cfg(test)]
mod tests;
