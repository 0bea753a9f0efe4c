//! The wiring, built tail first: what is told last is made first, and each stage gets the next one's intake.
//!
//! ```text
//! feed ◀─ outbox ◀─ pipeline (engine's thread) ◀─ WAL ◀─ ingest ◀─ agents
//!   └▶ serve (console, API)        │  └▶ event store, desk
//! ```
//! Start order is bottom up: stores, log, engine, listeners. Stop order is the reverse: listeners, engine (which saves a last
//! snapshot), log. Everything that fails at start names what and where and ends the program before a port is open.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use anyhow::{Context, Result, anyhow};
use event::{AgentId, Class, Timestamp};
use exchange::weakness::Weaknesses;
use matter::Book;
use tokio::net::TcpListener;
use tracing::{error, info, warn};

use crate::authority::{Authority, AuthorityConfig, Clock, DoorConfig, NewToken, ServerCertificate};
use crate::catalogue;
use crate::clock;
use crate::config::Config;
use crate::engine::{Engine, EngineOptions};
use crate::indicators::{self, Armoury, Indicators, SearchState};
use crate::ingest::{AcceptedBatch, BatchSink, LinkConfig, Links, SinkError, Ticket, Watermark, Watermarks};
use crate::metrics::{PipelineMetrics, ServeMetrics, Sources, StageMetrics};
use crate::notify::{Notifier, NotifyMetrics, Setup};
use crate::office::chores::Chores;
use crate::office::drills::Drills;
use crate::office::{self, Office};
use crate::outbox::Outbox;
use crate::pipeline::{Order, Pipeline};
use crate::register::{Register, Row, RowKind, Unit};
use crate::rules::trial::{Refusal, Trial, Turn};
use crate::serve::{self, Backstage, Board, Feed, Ready, ServeConfig, Shared};
use crate::store::desk::RegisterRow;
use crate::store::{DeskStore, DiskConfig, DiskStore, EventStore, Frame, Scope, SqliteDesk, Wal, WalConfig, WalError};

/// What a first run wants printed as one line of JSON: addresses, a first login, a token, an enrolment string for a host of this unit.
#[derive(Debug, Clone)]
pub struct Bootstrap {
    pub unit: String,
}

/// Reads the configuration again, as it was read at the start.
pub type Reread = Arc<dyn Fn() -> Result<Config, String> + Send + Sync>;

/// Runs the collector until SIGTERM or SIGINT.
pub fn run(config: Config, reread: Reread, bootstrap: Option<Bootstrap>) -> Result<()> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("serve").build().context("cannot start the runtime")?;
    runtime.block_on(serve(config, reread, bootstrap))
}

async fn serve(config: Config, reread: Reread, bootstrap: Option<Bootstrap>) -> Result<()> {
    let now = clock::now();
    private_folder(&config.data)?;
    let metrics = telemetry::Metrics::new("vedette");
    let ready = Arc::new(Ready::default());

    // Stores, then the log that feeds them.
    let desk: Arc<dyn DeskStore> = Arc::new(SqliteDesk::open(&config.data.join("desk.db")).context("the desk's database")?);
    let events = Arc::new(DiskStore::open(disk_config(&config)).context("the event store")?);
    let begin_at = desk.engine()?.position.max(events.durable());
    let wal_config = WalConfig { segment_bytes: config.store.wal_segment.0, begin_at, ..WalConfig::default() };
    let (wal, recovery) = Wal::open(&config.data.join("wal"), wal_config).context("the write-ahead log")?;
    let wal = Arc::new(wal);
    let stages = StageMetrics::new(&metrics);
    wal.time_syncs(stages.sync_seconds());
    info!(frames = recovery.frames, torn_bytes = recovery.torn_bytes, damaged = recovery.damaged.len(), "write-ahead log open");
    for damage in &recovery.damaged {
        error!(segment = %damage.segment, from = damage.from.0, to = damage.to.0, "acknowledged bytes of the write-ahead log cannot be read");
    }
    Ready::set(&ready.store_open);

    // The engine with its rules.
    let (engine, faults) = Engine::load_with(&engine_options(&config), &rule_options(&config)).context("the rules")?;
    for fault in &faults {
        warn!(%fault, "rule not loaded");
    }
    let rules = catalogue::rule_page(&engine, &faults, now);
    let rule_set = engine.shared_rules();
    info!(rules = rules.items.len(), refused = faults.len(), "rules loaded");
    Ready::set(&ready.rules_loaded);

    // Who may speak to us, and who they are.
    let clock: Clock = Arc::new(clock::now);
    // Before anything is promised.
    let tls = console_tls(&config)?;
    let listeners = Listeners::bind(&config).await?;
    let authority = Authority::open(authority_config(&config, &listeners)?, now).context("the certificate authority")?;
    if let Some(bootstrap) = &bootstrap {
        own_unit(&bootstrap.unit, desk.as_ref())?;
    }
    let register = Arc::new(RwLock::new(Arc::new(catalogue::register(&config, &authority, desk.as_ref())?)));
    let certificate = ServerCertificate::new(authority.clone(), clock.clone())?;

    let indicators = Indicators::open(&config.data.join("indicators"), &config.indicators.paths);
    tell_indicators(&indicators);

    // Tail first: feed, outbox, pipeline, ingest.
    let feed = Arc::new(Feed::new(u64::try_from(now.secs()).unwrap_or(0), FEED_ITEMS));
    let flaws = weaknesses(&config);
    let office = Arc::new(open_office(&config, &desk, &feed, &register, flaws.clone())?);
    let setup =
        Setup::read(&config).map_err(|told| anyhow!(told.into_iter().map(|(k, w)| format!("{k}: {w}")).collect::<Vec<_>>().join("; ")))?;
    let (notifier, carrier) = Notifier::start(desk.clone(), office.clone(), setup, NotifyMetrics::new(&metrics), clock::now)?;
    let board = Arc::new(Board::default());
    match desk.agents(&Scope::CITY) {
        Ok(rows) => board.restore(rows),
        Err(error) => warn!(%error, "what agents said before is not known until they say it again"),
    }
    let (orders, inbox) = channel();
    let stop = Arc::new(AtomicBool::new(false));
    let pipeline = Pipeline {
        wal: wal.clone(),
        events: events.clone(),
        desk: desk.clone(),
        outbox: Outbox::new(feed.clone()),
        board: board.clone(),
        register: register.clone(),
        indicators: indicators.clone(),
        unit_of: unit_of(&authority),
        metrics: PipelineMetrics::new(&metrics),
        orders: inbox,
        stop: stop.clone(),
        clock: clock::now,
    };
    let (ended, pipeline_ended) = tokio::sync::oneshot::channel();
    let engine_thread = std::thread::Builder::new().name("engine".into()).spawn(move || {
        let _ = ended.send(pipeline.run(engine));
    })?;
    let housekeeping = Housekeeping::start(events.clone())?;
    let desk_clock = DeskClock::start(office.clone())?;
    let link_config = LinkConfig { listen: config.link.listen, enrol_listen: config.link.enrol_listen, ..LinkConfig::default() };
    let log = Arc::new(Log { wal: wal.clone() });
    let links = Links::new(authority.clone(), log.clone(), log, &link_config, clock.clone());

    let armoury = Armoury::new(authority.clone(), links.clone());
    let (hunts, hunter) = Hunter::start(indicators.clone(), events.clone(), orders.clone(), stop.clone())?;
    let backstage = Arc::new(Stage {
        config: config.clone(),
        authority: authority.clone(),
        links: links.clone(),
        desk: desk.clone(),
        office: office.clone(),
        notifier: notifier.clone(),
        reread,
        register,
        board: board.clone(),
        orders: Mutex::new(orders.clone()),
        indicators: indicators.clone(),
        weaknesses: RwLock::new(flaws),
        hunts: hunts.clone(),
        armoury,
        rules: RwLock::new(rules),
        rule_set: RwLock::new(rule_set),
        trial: Arc::new(AtomicBool::new(false)),
        stages,
        sources: Sources {
            links: links.clone(),
            authority: authority.clone(),
            wal: wal.clone(),
            events: events.clone(),
            desk: desk.clone(),
            data: config.data.clone(),
            console_until: console_until(&config)?,
        },
    });
    let rules = {
        let stage = backstage.clone();
        Box::new(move || stage.rule_set())
    };
    let drills = Drills::new(office.clone(), desk.clone(), rules);
    let chores = Chores { office: office.clone(), desk: desk.clone(), events: events.clone(), board: board.clone() };
    let desk_chores = DeskChores::start(chores, drills)?;
    backstage.fill_board();
    backstage.arm();
    indicators.unsearched().into_iter().for_each(|source| drop(hunts.send(source)));
    drop(hunts);
    let console = listeners.serve.local_addr()?;
    let shared = Arc::new(Shared {
        events: events.clone(),
        desk: desk.clone(),
        office,
        feed,
        board,
        backstage,
        counts: ServeMetrics::new(&metrics),
        metrics,
        ready,
        config: ServeConfig {
            secure: config.serve.certificate.is_some(),
            link_address: authority.config().advertise.clone(),
            open_metrics: console.ip().is_loopback(),
            sender: config.exchange.sender.clone(),
            ..ServeConfig::default()
        },
        clock: clock::now,
        logins: serve::people::LoginLimiter::default(),
        register_turn: Mutex::new(()),
    });
    shared.counts.reloaded(true, now);
    greet(&config, &shared, &authority, console, bootstrap)?;

    let (halt, halted) = tokio::sync::watch::channel(false);
    let stopped = || {
        let mut halted = halted.clone();
        async move {
            let _ = halted.wait_for(|stop| *stop).await;
        }
    };
    let added: Arc<dyn Fn(&str) + Send + Sync> = {
        let stage = shared.backstage.clone();
        Arc::new(move |source: &str| stage.indicators_added(source))
    };
    let follow = |source: &indicators::taxii::TaxiiSource| {
        tokio::spawn(indicators::taxii::follow(source.clone(), indicators.clone(), clock::now, added.clone()))
    };
    let feeds: Vec<_> = config.taxii.iter().map(follow).collect();
    drop(added);
    let door = tokio::spawn(crate::authority::serve_enrolment(
        listeners.enrol,
        authority,
        certificate.clone(),
        DoorConfig::default(),
        clock,
        stopped(),
    ));
    let ingest = tokio::spawn(crate::ingest::serve(listeners.link, links, certificate, link_config, stopped()));
    let pages = tokio::spawn(serve::run(shared, listeners.serve, tls, stopped()));

    let failure = tokio::select! {
        () = signalled() => None,
        result = pipeline_ended => Some(match result {
            Ok(Err(error)) => anyhow!(error).context("the engine stopped"),
            _ => anyhow!("the engine stopped without a reason"),
        }),
    };
    info!("stopping");
    feeds.iter().for_each(tokio::task::JoinHandle::abort);
    let _ = halt.send(true);
    let _ = tokio::join!(door, ingest, pages);
    stop.store(true, Ordering::Release);
    notifier.stop();
    let ends = move || (engine_thread.join(), housekeeping.end(), desk_clock.end(), desk_chores.end(), hunter.join(), carrier.join());
    let _ = tokio::task::spawn_blocking(ends).await;
    wal.close();
    failure.map_or(Ok(()), Err)
}

/// Items the feed keeps for readers that come back.
const FEED_ITEMS: usize = 4_096;

/// The office with its book: register, tables, the key warnings are signed with.
fn open_office(
    config: &Config,
    desk: &Arc<dyn DeskStore>,
    feed: &Arc<Feed>,
    register: &RwLock<Arc<Register>>,
    flaws: Arc<Weaknesses>,
) -> Result<Office> {
    let folder = config.data.join("desk");
    let signer = Arc::new(office::SigningKey::open(&folder).context("the key warnings are signed with")?);
    let pseudonyms = office::secret(&folder.join("pseudonyms.key"))?;
    let tables = Arc::new(office::tables(config.grading.as_deref(), config.desk.as_deref())?);
    let register = register.read().unwrap_or_else(PoisonError::into_inner).clone();
    let book = Book { flaws, ..office::book(&register, tables, signer, pseudonyms) };
    Ok(Office::new(desk.clone(), feed.clone(), book))
}

/// Lets time pass at the desk: what falls due is moved within a quarter of a second, on a thread of its own.
struct DeskClock {
    end: Sender<()>,
    thread: std::thread::JoinHandle<()>,
}

impl DeskClock {
    const EVERY: std::time::Duration = std::time::Duration::from_millis(250);

    fn start(office: Arc<Office>) -> Result<Self> {
        let (end, ended) = channel::<()>();
        let thread = std::thread::Builder::new().name("desk-clock".into()).spawn(move || {
            while ended.recv_timeout(Self::EVERY) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                while office.follow(clock::now()) > 0 {}
                office.tick(clock::now());
            }
        })?;
        Ok(Self { end, thread })
    }

    fn end(self) {
        drop(self.end);
        let _ = self.thread.join();
    }
}

/// What the desk does by itself besides: events of drills, bulletins and checks of orders, on a thread of its own, since counting takes its time.
struct DeskChores {
    end: Sender<()>,
    thread: std::thread::JoinHandle<()>,
}

impl DeskChores {
    const EVERY: std::time::Duration = std::time::Duration::from_secs(5);

    fn start(chores: Chores, mut drills: Drills) -> Result<Self> {
        let (end, ended) = channel::<()>();
        let thread = std::thread::Builder::new().name("desk-chores".into()).spawn(move || {
            while ended.recv_timeout(Self::EVERY) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                drills.run(clock::now());
                chores.run(clock::now());
            }
        })?;
        Ok(Self { end, thread })
    }

    fn end(self) {
        drop(self.end);
        let _ = self.thread.join();
    }
}

/// Joins small segments and lets go what retention no longer asks for, every few minutes, on a thread of its own.
struct Housekeeping {
    end: Sender<()>,
    thread: std::thread::JoinHandle<()>,
}

impl Housekeeping {
    const EVERY: std::time::Duration = std::time::Duration::from_secs(300);

    fn start(events: Arc<DiskStore>) -> Result<Self> {
        let (end, ended) = channel::<()>();
        let thread = std::thread::Builder::new().name("store-care".into()).spawn(move || {
            while ended.recv_timeout(Self::EVERY) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                let now = clock::now();
                loop {
                    match events.compact(now) {
                        Ok(true) => {}
                        Ok(false) => break,
                        Err(error) => {
                            warn!(%error, "segments not joined");
                            break;
                        }
                    }
                }
                match events.retain(now) {
                    Ok(0) => {}
                    Ok(gone) => info!(segments = gone, "retention let segments go"),
                    Err(error) => warn!(%error, "retention not applied"),
                }
            }
        })?;
        Ok(Self { end, thread })
    }

    fn end(self) {
        drop(self.end);
        let _ = self.thread.join();
    }
}

/// Searches stored events for sources that were added, one after the other, on a thread of its own.
struct Hunter;

impl Hunter {
    fn start(
        all: Arc<Indicators>,
        events: Arc<DiskStore>,
        orders: Sender<Order>,
        stop: Arc<AtomicBool>,
    ) -> Result<(Sender<String>, std::thread::JoinHandle<()>)> {
        let (hunts, inbox) = channel::<String>();
        let thread = std::thread::Builder::new().name("indicator-hunt".into()).spawn(move || {
            while !stop.load(Ordering::Acquire) {
                // Looks up now and then, so that stopping does not wait for an order.
                let Ok(source) = inbox.recv_timeout(std::time::Duration::from_millis(500)) else { continue };
                let search = all.begin_search(&source);
                let Some(set) = all.alone(&source) else {
                    search.end(SearchState::Complete);
                    continue;
                };
                let mut out = |found| drop(orders.send(Order::Hindsight(found)));
                let done = indicators::hunt(events.as_ref(), &set, Timestamp::MAX, indicators::Bounds::default(), &search, &stop, &mut out);
                let (looked, found) = search.events();
                match done {
                    Ok(SearchState::Running) => continue,
                    // A search counts as made when its alerts are saved; one that a stop breaks off is made again.
                    Ok(_) if !saved(&orders, &stop) => continue,
                    Ok(state) => {
                        info!(source, state = state.name(), looked, found, "history searched for new indicators");
                        search.end(state);
                        all.end_search(&source);
                    }
                    Err(error) => {
                        error!(source, %error, "history not searched");
                        search.end(SearchState::Failed);
                    }
                }
            }
        })?;
        Ok((hunts, thread))
    }
}

/// Waits until what was found so far is saved; false if the program stops first.
fn saved(orders: &Sender<Order>, stop: &AtomicBool) -> bool {
    use std::sync::mpsc::RecvTimeoutError;
    let (told, kept) = channel();
    let _ = orders.send(Order::Saved(told));
    while !stop.load(Ordering::Acquire) {
        match kept.recv_timeout(std::time::Duration::from_millis(500)) {
            Ok(()) => return true,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return false,
        }
    }
    false
}

/// Says what is in force, and which sources have something that was not taken.
fn tell_indicators(all: &Indicators) {
    let book = all.book();
    info!(sources = book.sources.len(), entries = book.set.len(), bytes = book.set.bytes(), "indicators in force");
    for source in book.sources.iter().filter(|s| s.refused > 0) {
        let first = source.problems.first().map(ToString::to_string).unwrap_or_default();
        warn!(source = source.name, refused = source.refused, first, "indicators not taken");
    }
}

/// What the files of `[weakness]` say; what cannot be read is in the log.
fn weaknesses(config: &Config) -> Arc<Weaknesses> {
    let (all, problems) = crate::weakness::load(&config.weakness.paths);
    if let Some(first) = problems.first() {
        warn!(problems = problems.len(), first, "known flaws not taken");
    }
    if !all.is_empty() {
        info!(flaws = all.len(), exploited = all.exploited(), "known flaws in force");
    }
    Arc::new(all)
}

/// All three listeners, bound before anything is promised.
struct Listeners {
    link: TcpListener,
    enrol: TcpListener,
    serve: TcpListener,
}

impl Listeners {
    async fn bind(config: &Config) -> Result<Self> {
        let one = |key: &'static str, address: std::net::SocketAddr| async move {
            TcpListener::bind(address)
                .await
                .with_context(|| format!("cannot listen on {address} ({key}); is another collector running, or the port taken?"))
        };
        Ok(Self {
            link: one("[link] listen", config.link.listen).await?,
            enrol: one("[link] enrol_listen", config.link.enrol_listen).await?,
            serve: one("[serve] listen", config.serve.listen).await?,
        })
    }
}

fn authority_config(config: &Config, listeners: &Listeners) -> Result<AuthorityConfig> {
    let enrol_port = listeners.enrol.local_addr()?.port();
    let host = match config.link.advertise.as_str() {
        "" => crate::authority::host_name().unwrap_or_else(|| "localhost".to_owned()),
        given => given.to_owned(),
    };
    let advertise = if agent::identity::message::split_host_port(&host).is_some() {
        host
    } else {
        agent::identity::message::join_host_port(&host, enrol_port)
    };
    Ok(AuthorityConfig {
        dir: config.data.join("authority"),
        advertise,
        link_port: listeners.link.local_addr()?.port(),
        names: config.link.names.clone(),
        ..AuthorityConfig::default()
    })
}

fn disk_config(config: &Config) -> DiskConfig {
    let days = u32::try_from(config.store.retention.0.as_secs() / 86_400).unwrap_or(u32::MAX).max(1);
    DiskConfig {
        seal_rows: config.store.segment_rows,
        seal_every: config.store.segment_age.0,
        retention_days: Class::ALL.into_iter().map(|class| (class, days)).collect(),
        ..DiskConfig::new(config.data.join("events"))
    }
}

fn engine_options(config: &Config) -> EngineOptions {
    EngineOptions { rules: config.rules.clone(), mappings: Some(config.mappings.clone()) }
}

fn rule_options(config: &Config) -> rule::Options {
    rule::Options { shadow_experimental: config.shadow_experimental, ..rule::Options::default() }
}

fn unit_of(authority: &Arc<Authority>) -> Box<dyn Fn(AgentId) -> Option<String> + Send> {
    let authority = authority.clone();
    Box::new(move |agent| authority.unit_of(agent))
}

/// Says where everything is; with `--bootstrap` as one line of JSON on standard output.
fn greet(
    config: &Config,
    shared: &Shared,
    authority: &Authority,
    console: std::net::SocketAddr,
    bootstrap: Option<Bootstrap>,
) -> Result<()> {
    let scheme = if config.serve.certificate.is_some() { "https" } else { "http" };
    let url = format!("{scheme}://{console}");
    let now = clock::now();
    let password = serve::ensure_first_login(shared.desk.as_ref(), now)?;
    info!(console = %url, link = %authority.config().advertise, "ready");
    let Some(bootstrap) = bootstrap else {
        if let Some(password) = password {
            info!("first login: admin / {password} (shown this once; change it)");
        }
        return Ok(());
    };
    let token = serve::people::bootstrap_token(shared.desk.as_ref(), now)?;
    let invitation = authority.invite(NewToken { unit: Some(bootstrap.unit), by: "bootstrap".into(), ..NewToken::default() }, now)?;
    let line = serde_json::json!({
        "console": url,
        "user": password.as_ref().map(|_| "admin"),
        "password": password,
        "token": token,
        "enrolment": invitation.to_string(),
    });
    println!("{line}");
    Ok(())
}

/// The unit of this host, where nobody has named it yet.
fn own_unit(id: &str, desk: &dyn DeskStore) -> Result<()> {
    if desk.register_rows()?.iter().any(|row| row.kind == RowKind::Unit && row.id == id) {
        return Ok(());
    }
    let name = crate::authority::host_name().unwrap_or_else(|| id.to_owned());
    let unit = Unit { id: id.to_owned(), name, sector: "local".into(), ..Unit::default() };
    let row = RegisterRow { kind: RowKind::Unit, id: id.to_owned(), unit: Some(id.to_owned()), row: Some(Row::Unit(unit)), old: false };
    Ok(desk.put_register(&[row], &[])?)
}

/// Certificate and key of the console, if it has them, read and tried against each other.
pub(crate) fn console_tls(config: &Config) -> Result<Option<Arc<rustls::ServerConfig>>> {
    let (Some(certificate), Some(key)) = (&config.serve.certificate, &config.serve.key) else { return Ok(None) };
    let pem = |path: &Path| std::fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    let chain: Vec<_> = rustls_pemfile::certs(&mut pem(certificate)?.as_slice())
        .collect::<Result<_, _>>()
        .with_context(|| format!("{} is not a PEM certificate", certificate.display()))?;
    anyhow::ensure!(!chain.is_empty(), "{} holds no certificate; it must begin with -----BEGIN CERTIFICATE-----", certificate.display());
    let private = rustls_pemfile::private_key(&mut pem(key)?.as_slice())
        .with_context(|| format!("{} is not a PEM key", key.display()))?
        .with_context(|| format!("{} holds no private key; it must begin with -----BEGIN PRIVATE KEY-----", key.display()))?;
    let mut tls = rustls::ServerConfig::builder_with_provider(agent::identity::tls::provider())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .with_context(|| format!("{} and {} do not belong together", certificate.display(), key.display()))?;
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Some(Arc::new(tls)))
}

/// When the console's certificate ends: the first of its chain to do so.
pub(crate) fn console_until(config: &Config) -> Result<Option<Timestamp>> {
    let Some(path) = &config.serve.certificate else { return Ok(None) };
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let ends = |der: &[u8]| x509_parser::parse_x509_certificate(der).ok().map(|(_, c)| c.validity().not_after.timestamp());
    Ok(rustls_pemfile::certs(&mut bytes.as_slice()).flatten().filter_map(|der| ends(&der)).min().map(Timestamp::from_secs))
}

/// SIGTERM or SIGINT.
async fn signalled() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut term) = signal(SignalKind::terminate()) else { return std::future::pending().await };
    tokio::select! {
        _ = term.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}

/// Creates the data folder with mode 0700 where it is missing.
fn private_folder(path: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .with_context(|| format!("cannot create {}; set data = \"…\" or --data to a folder this user may write", path.display()))
}

/// The write-ahead log as the link sees it.
struct Log {
    wal: Arc<Wal>,
}

impl BatchSink for Log {
    fn accept(&self, batch: AcceptedBatch) -> Ticket {
        let frame = Frame {
            agent: batch.agent,
            received: batch.received,
            class: batch.class,
            epoch: batch.epoch,
            first_seq: batch.first_seq,
            last_seq: batch.last_seq,
            bytes: batch.bytes,
        };
        let ticket = self.wal.append(frame);
        Box::pin(async move { ticket.await.map(|_| ()).map_err(|error: WalError| SinkError(error.to_string())) })
    }
}

impl Watermarks for Log {
    fn watermark(&self, agent: AgentId, class: Class) -> Option<Watermark> {
        self.wal.watermarks().get(&(agent, class)).map(|mark| Watermark { epoch: mark.epoch, seq: mark.seq })
    }
}

/// What serving may ask of the rest.
struct Stage {
    config: Config,
    authority: Arc<Authority>,
    links: Arc<Links>,
    desk: Arc<dyn DeskStore>,
    office: Arc<Office>,
    notifier: Arc<Notifier>,
    reread: Reread,
    register: Arc<RwLock<Arc<Register>>>,
    board: Arc<Board>,
    orders: Mutex<Sender<Order>>,
    indicators: Arc<Indicators>,
    weaknesses: RwLock<Arc<Weaknesses>>,
    /// Names of sources whose history is to be searched.
    hunts: Sender<String>,
    armoury: Armoury,
    rules: RwLock<api::RulePage>,
    rule_set: RwLock<Arc<rule::RuleSet>>,
    trial: Arc<AtomicBool>,
    stages: StageMetrics,
    sources: Sources,
}

impl Stage {
    fn order(&self, order: Order) {
        let _ = self.orders.lock().unwrap_or_else(PoisonError::into_inner).send(order);
    }

    /// Tells the agents which indicators are in force.
    fn arm(&self) {
        match self.armoury.publish(&self.indicators, clock::now()) {
            Ok(armed) => info!(
                revision = armed.revision,
                agents = armed.agents,
                entries = armed.entries,
                sources_left = armed.sources_left,
                kept_back = armed.kept_back,
                "indicators sent to agents"
            ),
            Err(error) => error!(%error, "indicators not sent to agents"),
        }
    }

    /// The desk's book after a change of register or tables; tables that cannot be read leave the old ones in force.
    fn renew_book(&self) {
        let old = self.office.book();
        let tables = match office::tables(self.config.grading.as_deref(), self.config.desk.as_deref()) {
            Ok(tables) => Arc::new(tables),
            Err(error) => {
                error!(error = format!("{error:#}"), "tables not taken, the old ones stay");
                old.tables.clone()
            }
        };
        let register = self.register.read().unwrap_or_else(PoisonError::into_inner).clone();
        let flaws = self.weaknesses.read().unwrap_or_else(PoisonError::into_inner).clone();
        let book = office::book(&register, tables, old.signer.clone(), old.pseudonyms);
        self.office.exchange(Book { flaws, ..book });
    }

    /// Rules and register as they are on disk now.
    fn reloaded_rules(&self) -> Result<(Engine, Vec<String>, Register)> {
        let (engine, faults) = Engine::load_with(&engine_options(&self.config), &rule_options(&self.config)).context("the rules")?;
        let register = catalogue::register(&self.config, &self.authority, self.desk.as_ref())?;
        Ok((engine, faults, register))
    }

    /// Agents that are enrolled show before they are heard.
    fn fill_board(&self) {
        let register = self.register.read().unwrap_or_else(PoisonError::into_inner).clone();
        for entry in self.authority.agents() {
            let unit = entry.unit.as_deref().and_then(|id| register.unit(id));
            self.board.enrolled(
                entry.agent,
                "",
                unit.map(|u| (u.id.as_str(), u.name.as_str(), u.sector.as_str())),
                self.authority.is_revoked(entry.agent),
            );
        }
    }
}

/// How long the engine's owner may take for an answer about baselines: it answers between two steps.
const BASELINES_WAIT: std::time::Duration = std::time::Duration::from_secs(10);

impl Backstage for Stage {
    fn collect(&self) {
        self.stages.collect(&self.sources);
    }

    fn rules(&self) -> api::RulePage {
        self.rules.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn rule_set(&self) -> Option<Arc<rule::RuleSet>> {
        Some(Arc::clone(&self.rule_set.read().unwrap_or_else(PoisonError::into_inner)))
    }

    fn trial(&self, fresh: &[rule::Source]) -> Result<Box<Trial>, Refusal> {
        let turn = Turn::take(&self.trial).ok_or(Refusal::Busy)?;
        Trial::new(&self.config.rules, Some(&self.config.mappings), fresh, &rule_options(&self.config), turn).map(Box::new)
    }

    fn reload(&self) -> api::Reloaded {
        // Of the configuration itself a reload takes over the channels and who is told; the rest holds until a restart.
        let setup = (self.reread)().map_err(|why| anyhow!(why)).and_then(|config| {
            Setup::read(&config).map_err(|told| anyhow!(told.into_iter().map(|(k, w)| format!("{k}: {w}")).collect::<Vec<_>>().join("; ")))
        });
        let outcome = setup.context("the channels").and_then(|setup| Ok((setup, self.reloaded_rules()?)));
        let outcome = outcome.map(|(setup, rest)| {
            self.notifier.exchange(setup);
            rest
        });
        match outcome {
            Ok((engine, faults, fresh)) => {
                let page = catalogue::rule_page(&engine, &faults, clock::now());
                let answer =
                    api::Reloaded { successful: true, rules: page.items.len() as u64, faults: page.faults.clone(), message: String::new() };
                *self.rules.write().unwrap_or_else(PoisonError::into_inner) = page;
                *self.rule_set.write().unwrap_or_else(PoisonError::into_inner) = engine.shared_rules();
                *self.register.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(fresh);
                *self.weaknesses.write().unwrap_or_else(PoisonError::into_inner) = weaknesses(&self.config);
                self.renew_book();
                self.order(Order::Replace(Box::new(engine)));
                self.indicators.reload();
                tell_indicators(&self.indicators);
                self.arm();
                answer
            }
            Err(error) => api::Reloaded {
                successful: false,
                rules: self.rules().items.len() as u64,
                faults: Vec::new(),
                message: format!("{error:#}; the old rules and register stay in force"),
            },
        }
    }

    fn enrolment(&self, unit: &str, note: &str, by: &str, now: Timestamp, expires: Timestamp) -> Result<String, String> {
        let _ = note;
        let known = self.register.read().unwrap_or_else(PoisonError::into_inner).unit(unit).is_some();
        if !known {
            return Err(format!("the register has no unit '{unit}'"));
        }
        let request = NewToken {
            unit: Some(unit.to_owned()),
            ttl_secs: Some(expires.since(now) / event::SECOND_NS),
            by: by.to_owned(),
            ..NewToken::default()
        };
        self.authority.invite(request, now).map(|i| i.to_string()).map_err(|e| e.to_string())
    }

    fn revoke(&self, agent: AgentId, reason: &str, by: &str, now: Timestamp) -> Result<bool, String> {
        self.authority.revoke(agent, reason, by, now).map_err(|e| e.to_string())
    }

    fn baselines(&self, act: crate::pipeline::BaselineAct) -> bool {
        let (told, answer) = std::sync::mpsc::channel();
        self.order(Order::Baselines(act, told));
        answer.recv_timeout(BASELINES_WAIT).is_ok()
    }

    fn judged(&self, judgement: warning::Judgement) {
        self.order(Order::Judged(judgement));
    }

    fn indicators(&self) -> Option<Arc<Indicators>> {
        Some(self.indicators.clone())
    }

    fn weaknesses(&self) -> Arc<Weaknesses> {
        self.weaknesses.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn indicators_added(&self, source: &str) {
        let _ = self.hunts.send(source.to_owned());
        self.arm();
    }

    fn indicators_changed(&self) {
        self.arm();
    }

    fn notifier(&self) -> Option<Arc<Notifier>> {
        Some(self.notifier.clone())
    }

    fn links(&self) -> Vec<(AgentId, String)> {
        self.links.snapshot().into_iter().map(|l| (l.agent, l.address.to_string())).collect()
    }

    fn register(&self) -> Arc<Register> {
        self.register.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn register_changed(&self) {
        match self.desk.register_rows() {
            Ok(rows) => {
                let mut slot = self.register.write().unwrap_or_else(PoisonError::into_inner);
                *slot = Arc::new(slot.renewed(&rows));
                drop(slot);
                self.renew_book();
            }
            Err(error) => error!(%error, "register not taken, the old one stays"),
        }
    }
}
