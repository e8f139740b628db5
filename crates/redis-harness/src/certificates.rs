//! A certificate authority for one test, and a server certificate for loopback.

use crate::process::OwnDir;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use std::path::PathBuf;

/// What a TLS server needs, and the authority a client has to trust.
#[derive(Debug, Clone)]
pub struct Certificates {
    ca_pem: String,
    pub(crate) ca_file: PathBuf,
    pub(crate) cert_file: PathBuf,
    pub(crate) key_file: PathBuf,
}

impl Certificates {
    pub(crate) fn generate(dir: &OwnDir) -> Self {
        let issue = || -> Result<(String, String, String), rcgen::Error> {
            let ca_key = KeyPair::generate()?;
            let mut ca = CertificateParams::new(Vec::new())?;
            ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            let ca_pem = ca.self_signed(&ca_key)?.pem();
            let issuer = Issuer::new(ca, ca_key);

            let key = KeyPair::generate()?;
            let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
            let cert = CertificateParams::new(names)?.signed_by(&key, &issuer)?;
            Ok((ca_pem, cert.pem(), key.serialize_pem()))
        };
        let (ca_pem, cert, key) =
            issue().unwrap_or_else(|error| panic!("cannot make certificates: {error}"));
        Self {
            ca_file: dir.write("ca.pem", &ca_pem),
            cert_file: dir.write("cert.pem", &cert),
            key_file: dir.write("key.pem", &key),
            ca_pem,
        }
    }

    /// The authority's certificate, PEM: the root a client trusts.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }
}
