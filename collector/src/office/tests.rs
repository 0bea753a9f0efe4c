//! The store behind the office keeps what the rules of `matter` promise, and forgets nothing of it.

use matter::Signer;

use super::*;

#[test]
fn a_key_signs_alike_after_a_restart_and_old_keys_still_check() {
    let folder = tempfile::tempdir().unwrap();
    let first = SigningKey::open(folder.path()).unwrap();
    let signature = first.sign(&[5; 32]);
    let again = SigningKey::open(folder.path()).unwrap();
    assert_eq!((again.key(), again.sign(&[5; 32])), (first.key(), signature.clone()));
    std::fs::remove_file(folder.path().join("signing.key")).unwrap();
    let next = SigningKey::open(folder.path()).unwrap();
    assert_ne!(next.key(), first.key());
    assert!(next.verify(&first.key(), &[5; 32], &signature));
    assert!(!next.verify(&first.key(), &[6; 32], &signature) && !next.verify(&next.key(), &[5; 32], &signature));
}

#[test]
fn a_secret_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pseudonyms.key");
    assert_eq!(secret(&path).unwrap(), secret(&path).unwrap());
}

#[test]
fn the_tables_that_ship_are_read() {
    let tables = tables(None, None).unwrap();
    assert_eq!(tables.desk.service.red.receipt_min, 15);
}
