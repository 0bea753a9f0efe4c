use super::*;
use agent::identity::Identity;

const NOW: Timestamp = Timestamp::from_secs(1_790_000_000);

struct Case {
    _base: tempfile::TempDir,
    config: AuthorityConfig,
    authority: Arc<Authority>,
}

fn case() -> Case {
    let base = tempfile::tempdir().unwrap();
    let config = AuthorityConfig { dir: base.path().join("authority"), ..AuthorityConfig::default() };
    let authority = Authority::open(config.clone(), NOW).unwrap();
    Case { _base: base, config, authority }
}

impl Case {
    fn again(&mut self, now: Timestamp) {
        self.authority = Authority::open(self.config.clone(), now).unwrap();
    }
    fn token(&self, request: NewToken) -> String {
        self.authority.invite(request, NOW).unwrap().token
    }
}

fn csr() -> Vec<u8> {
    Identity::fresh_key().unwrap().1
}

fn name(issued: &Issued) -> certificate::Name {
    certificate::read(&issued.certificate).unwrap()
}

#[test]
fn a_token_serves_one_key_once_and_that_key_again() {
    let case = case();
    let (token, mine, theirs) = (case.token(NewToken { unit: Some("water".into()), ..NewToken::default() }), csr(), csr());
    let first = case.authority.enrol(&token, &mine, NOW).unwrap();
    assert_eq!(name(&first).agent, first.agent);
    assert_eq!(first.not_after, NOW.plus_secs(7 * 86_400));
    assert_eq!(case.authority.unit_of(first.agent).as_deref(), Some("water"));
    assert_eq!(case.authority.enrol(&token, &theirs, NOW), Err(Refusal::TokenUsed));
    let again = case.authority.enrol(&token, &mine, NOW).unwrap();
    assert_eq!(again.agent, first.agent, "the same key after a lost answer");
    assert_eq!(case.authority.agents().len(), 1);
    assert_eq!(case.authority.enrol(&token, &mine, NOW.plus_secs(1800)), Err(Refusal::TokenUsed), "not for ever");
    assert_eq!(case.authority.counters().refused_for(Refusal::TokenUsed), 2);
}

#[test]
fn a_token_lives_thirty_minutes_and_may_be_taken_back() {
    let case = case();
    let (token, other) = (case.token(NewToken::default()), case.token(NewToken::default()));
    assert_eq!(case.authority.enrol(&token, &csr(), NOW.plus_secs(1800)), Err(Refusal::TokenExpired));
    assert!(case.authority.enrol(&token, &csr(), NOW.plus_secs(1799)).is_ok());
    let id = case.authority.tokens(NOW).first().unwrap().id.clone();
    assert!(!id.contains(&other), "a token is listed by its hash");
    case.authority.withdraw(&id, "test", NOW).unwrap();
    assert_eq!(case.authority.enrol(&other, &csr(), NOW), Err(Refusal::TokenUnknown));
    assert_eq!(case.authority.enrol("nobody-ever-made-this-one", &csr(), NOW), Err(Refusal::TokenUnknown));
    assert!(matches!(case.authority.withdraw(&id, "test", NOW), Err(AuthorityError::NoToken(_))));
}

#[test]
fn the_secret_is_nowhere_on_disk() {
    let case = case();
    let token = case.token(NewToken::default());
    case.authority.enrol(&token, &csr(), NOW).unwrap();
    let journal = std::fs::read_to_string(case.config.dir.join("authority.log")).unwrap();
    assert!(!journal.contains(&token) && journal.contains(&hex(&token_hash(&token))));
}

/// SHA-256 of the public key in a signing request.
fn print_of(csr: &[u8]) -> [u8; 32] {
    certificate::read_request(csr).unwrap().key
}

#[test]
fn a_request_that_does_not_prove_its_key_is_refused_and_the_token_stays() {
    let case = case();
    let token = case.token(NewToken::default());
    let (good, other) = (csr(), csr());
    // Someone else's public key under one's own signature.
    let point = |csr: &[u8]| csr.windows(2).position(|w| w == [0x00, 0x04]).unwrap() + 1;
    let mut swapped = good.clone();
    swapped[point(&good)..][..65].copy_from_slice(&other[point(&other)..][..65]);
    assert_eq!(case.authority.enrol(&token, &swapped, NOW), Err(Refusal::BadKey));
    // Any single byte changed: either refused, or (a byte of the unsigned wrapping) still the key that signed.
    let mut accepted = 0;
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0x01;
        match case.authority.enrol(&token, &bad, NOW) {
            Ok(issued) => {
                assert_eq!(name(&issued).key, print_of(&good), "byte {at} changed");
                accepted += 1;
            }
            Err(reason) => assert_eq!(reason, Refusal::BadKey, "byte {at} changed"),
        }
    }
    assert!(accepted < 4, "{accepted} of {} changed requests were accepted", good.len());
    assert!(case.authority.enrol(&token, &good, NOW).is_ok());
}

#[test]
fn everything_survives_a_restart_and_a_rewrite() {
    let mut case = case();
    let (spent, open) = (case.token(NewToken::default()), case.token(NewToken { unit: Some("power".into()), ..NewToken::default() }));
    let kept = csr();
    let first = case.authority.enrol(&spent, &kept, NOW).unwrap();
    let gone = case.authority.enrol(&case.token(NewToken::default()), &csr(), NOW).unwrap();
    case.authority.revoke(gone.agent, "stolen", "test", NOW).unwrap();
    case.authority.assign(first.agent, Some("gas"), "test", NOW).unwrap();
    for n in 0..5 {
        case.authority.renew(first.agent, &csr(), NOW.plus_secs(n)).unwrap();
    }
    let before = (case.authority.agents(), case.authority.tokens(NOW));
    for _ in 0..3 {
        case.again(NOW);
        assert_eq!((case.authority.agents(), case.authority.tokens(NOW)), before);
    }
    let lines = std::fs::read_to_string(case.config.dir.join("authority.log")).unwrap().lines().count();
    assert_eq!(lines, 3 + 2 + 1, "three tokens, two agents, one revocation");
    assert_eq!(case.authority.enrol(&spent, &csr(), NOW), Err(Refusal::TokenUsed), "a used token stays used");
    assert_eq!(case.authority.admit(&name(&gone)), Err(Refusal::Revoked));
    case.authority.enrol(&open, &csr(), NOW).unwrap();
}

#[test]
fn renewal_keeps_the_last_keys_and_forgets_older_ones() {
    let case = case();
    let first = case.authority.enrol(&case.token(NewToken::default()), &csr(), NOW).unwrap();
    let later: Vec<_> = (0..3).map(|_| case.authority.renew(first.agent, &csr(), NOW).unwrap()).collect();
    assert_eq!(case.authority.admit(&name(&first)), Err(Refusal::KeyUnknown));
    assert!(later.iter().all(|issued| issued.agent == first.agent && case.authority.admit(&name(issued)).is_ok()));
    let other = case.authority.enrol(&case.token(NewToken::default()), &csr(), NOW).unwrap();
    let stolen = csr();
    case.authority.renew(other.agent, &stolen, NOW).unwrap();
    assert_eq!(case.authority.renew(first.agent, &stolen, NOW), Err(Refusal::BadKey), "another agent's key");
    assert_eq!(case.authority.renew(AgentId(1), &csr(), NOW), Err(Refusal::AgentUnknown));
}

#[test]
fn a_known_key_recovers_a_counted_number_of_times() {
    let mut case = case();
    let key = csr();
    let first = case.authority.enrol(&case.token(NewToken::default()), &key, NOW).unwrap();
    let print = name(&first).key;
    let late = NOW.plus_secs(400 * 86_400);
    assert_eq!(case.authority.recover(&[7; 32], &key, late), Err(Refusal::KeyUnknown));
    assert_eq!(case.authority.recover(&print, &csr(), late), Err(Refusal::BadKey), "the print of a known key, the signature of another");
    for _ in 0..case.config.recoveries_max {
        let issued = case.authority.recover(&print, &key, late).unwrap();
        assert_eq!((issued.agent, issued.not_after), (first.agent, late.plus_secs(7 * 86_400)));
    }
    assert_eq!(case.authority.recover(&print, &key, late), Err(Refusal::RecoveryLimit));
    case.again(late);
    assert_eq!(case.authority.recover(&print, &key, late), Err(Refusal::RecoveryLimit), "the limit survives a restart");
    case.authority.renew(first.agent, &csr(), late).unwrap();
    assert!(case.authority.recover(&print, &key, late).is_ok(), "a healthy link starts the count anew");
}

#[test]
fn a_revoked_agent_gets_nothing_until_an_operator_invites_it_by_name() {
    let case = case();
    let key = csr();
    let first = case.authority.enrol(&case.token(NewToken::default()), &key, NOW).unwrap();
    let mut told = case.authority.revocations();
    assert!(case.authority.revoke(first.agent, "stolen", "test", NOW).unwrap());
    assert!(!case.authority.revoke(first.agent, "again", "test", NOW).unwrap());
    assert_eq!(told.try_recv().unwrap(), first.agent);
    assert_eq!(case.authority.renew(first.agent, &csr(), NOW), Err(Refusal::Revoked));
    assert_eq!(case.authority.recover(&name(&first).key, &key, NOW), Err(Refusal::Revoked));
    assert_eq!(case.authority.enrol(&case.token(NewToken::default()), &key, NOW), Err(Refusal::Revoked), "the old key with a new token");
    let invited = case.token(NewToken { agent: Some(first.agent), ..NewToken::default() });
    let back = case.authority.enrol(&invited, &csr(), NOW).unwrap();
    assert_eq!(back.agent, first.agent);
    assert!(case.authority.admit(&name(&back)).is_ok());
    assert_eq!(case.authority.admit(&name(&first)), Err(Refusal::KeyUnknown), "the stolen key stays out");
    assert!(matches!(
        case.authority.invite(NewToken { agent: Some(AgentId(5)), ..NewToken::default() }, NOW),
        Err(AuthorityError::NoAgent(_))
    ));
}

#[test]
fn a_journal_that_cannot_be_written_issues_nothing() {
    struct Full(MemoryJournal);
    impl AuthorityStore for Full {
        fn load(&self) -> Result<Vec<Record>, JournalError> {
            self.0.load()
        }
        fn append(&self, records: &[Record]) -> Result<(), JournalError> {
            match records {
                [Record::Issued { .. }] => Err(JournalError::Broken { path: "authority.log".into() }),
                _ => self.0.append(records),
            }
        }
        fn rewrite(&self, records: &[Record]) -> Result<(), JournalError> {
            self.0.rewrite(records)
        }
    }
    let base = tempfile::tempdir().unwrap();
    let config = AuthorityConfig { dir: base.path().join("authority"), ..AuthorityConfig::default() };
    let journal = Arc::new(Full(MemoryJournal::default()));
    let authority = Authority::open_with(config.clone(), journal.clone(), NOW).unwrap();
    let token = authority.invite(NewToken::default(), NOW).unwrap().token;
    assert_eq!(authority.enrol(&token, &csr(), NOW), Err(Refusal::Internal));
    assert!(authority.agents().is_empty());
    assert_eq!(authority.tokens(NOW).len(), 1, "and the token is not spent");
}

#[test]
fn open_tokens_are_bounded() {
    let base = tempfile::tempdir().unwrap();
    let config = AuthorityConfig { dir: base.path().join("authority"), tokens_max: 2, ..AuthorityConfig::default() };
    let authority = Authority::open_with(config, MemoryJournal::default(), NOW).unwrap();
    for _ in 0..2 {
        authority.invite(NewToken::default(), NOW).unwrap();
    }
    assert!(matches!(authority.invite(NewToken::default(), NOW), Err(AuthorityError::Tokens { limit: 2 })));
    authority.invite(NewToken::default(), NOW.plus_secs(1800)).unwrap();
}
