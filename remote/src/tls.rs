//! Who may speak to whom: a cluster has an authority of its own, which signs a certificate for the gateway and one for each
//! host that is invited. The authority's key stays with the controller.

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{CipherSuite, ClientConfig, RootCertStore, ServerConfig, crypto, version};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// The gateway's certificate is for this name, wherever the gateway is: its addresses change, and clusters' authorities
/// sign for nobody else.
const GATEWAY: &str = "gateway.chorus.internal";

/// What is wrong with certificates or keys.
#[derive(Debug, thiserror::Error)]
#[error("the cluster's certificates can't be {action}: {why}")]
pub struct TlsError {
    action: &'static str,
    why: String,
}

impl TlsError {
    fn made(why: impl fmt::Display) -> TlsError {
        TlsError { action: "made", why: why.to_string() }
    }

    fn used(why: impl fmt::Display) -> TlsError {
        TlsError { action: "used", why: why.to_string() }
    }
}

/// Signs for one cluster.
#[derive(Clone, Serialize, Deserialize)]
pub struct Authority {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authority")
    }
}

impl Authority {
    /// One that nobody trusts yet.
    pub fn new() -> Result<Authority, TlsError> {
        let key = KeyPair::generate().map_err(TlsError::made)?;
        let certificate = params("Chorus cluster", None)?.self_signed(&key).map_err(TlsError::made)?;
        Ok(Authority { certificate: certificate.der().to_vec(), key: key.serialize_der() })
    }

    /// For the gateway.
    pub(crate) fn gateway(&self) -> Result<Identity, TlsError> {
        self.sign(GATEWAY, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// For a host that is invited. It isn't good for a gateway.
    pub(crate) fn outpost(&self) -> Result<Identity, TlsError> {
        self.sign("outpost.chorus.internal", ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn sign(&self, name: &str, usage: ExtendedKeyUsagePurpose) -> Result<Identity, TlsError> {
        let own = KeyPair::try_from(self.key.as_slice()).map_err(TlsError::made)?;
        let issuer = Issuer::new(params("Chorus cluster", None)?, own);
        let key = KeyPair::generate().map_err(TlsError::made)?;
        let certificate = params(name, Some(usage))?.signed_by(&key, &issuer).map_err(TlsError::made)?;
        let authority = self.certificate.clone();
        Ok(Identity { authority, certificate: certificate.der().to_vec(), key: key.serialize_der() })
    }
}

/// Of the authority, or of whom it signs for, who may use it so.
fn params(name: &str, usage: Option<ExtendedKeyUsagePurpose>) -> Result<CertificateParams, TlsError> {
    let names = if usage.is_some() { vec![name.to_owned()] } else { Vec::new() };
    let mut params = CertificateParams::new(names).map_err(TlsError::made)?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    match usage {
        Some(usage) => params.extended_key_usages = vec![usage],
        None => params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0)),
    }
    Ok(params)
}

/// What one end shows, and whom it trusts.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Identity {
    authority: Vec<u8>,
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity")
    }
}

impl Identity {
    fn roots(&self) -> Result<RootCertStore, TlsError> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(self.authority.clone())).map_err(TlsError::used)?;
        Ok(roots)
    }

    fn own(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let key = PrivatePkcs8KeyDer::from(self.key.clone());
        (vec![CertificateDer::from(self.certificate.clone())], key.into())
    }

    pub(crate) fn acceptor(&self) -> Result<TlsAcceptor, TlsError> {
        let provider = provider();
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(self.roots()?), Arc::clone(&provider));
        let (chain, key) = self.own();
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&version::TLS13])
            .map_err(TlsError::used)?
            .with_client_cert_verifier(verifier.build().map_err(TlsError::used)?)
            .with_single_cert(chain, key)
            .map_err(TlsError::used)?;
        Ok(Arc::new(config).into())
    }

    pub(crate) fn connector(&self) -> Result<Connector, TlsError> {
        let (chain, key) = self.own();
        let config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&version::TLS13])
            .map_err(TlsError::used)?
            .with_root_certificates(self.roots()?)
            .with_client_auth_cert(chain, key)
            .map_err(TlsError::used)?;
        let name = ServerName::try_from(GATEWAY).map_err(TlsError::used)?;
        Ok(Connector { tls: Arc::new(config).into(), name })
    }
}

/// AES with keys of 128 bits first: it takes three quarters of the time that 256 bits take, which is most of a transfer's.
fn provider() -> Arc<CryptoProvider> {
    let mut provider = crypto::ring::default_provider();
    provider.cipher_suites.sort_by_key(|it| it.suite() != CipherSuite::TLS13_AES_128_GCM_SHA256);
    Arc::new(provider)
}

/// Connects to the gateway of one cluster.
#[derive(Clone)]
pub(crate) struct Connector {
    pub tls: TlsConnector,
    pub name: ServerName<'static>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both ends' first words over a pipe; TLS 1.3 tells a client of a refusal only when it reads.
    async fn meet(server: &Identity, client: &Identity) -> Result<(), String> {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        let (acceptor, connector) = (server.acceptor().unwrap(), client.connector().unwrap());
        let accept = async {
            let mut stream = acceptor.accept(ours).await.map_err(|error| error.to_string())?;
            stream.write_all(b"x").await.map_err(|error| error.to_string())
        };
        let connect = async {
            let mut stream = connector.tls.connect(connector.name, theirs).await.map_err(|error| error.to_string())?;
            stream.read_u8().await.map_err(|error| error.to_string()).map(drop)
        };
        let (accepted, connected) = tokio::join!(accept, connect);
        accepted.and(connected)
    }

    #[tokio::test]
    async fn who_is_invited_meets_the_gateway_and_nobody_else_does() {
        let (ours, others) = (Authority::new().unwrap(), Authority::new().unwrap());
        let gateway = ours.gateway().unwrap();
        assert_eq!(meet(&gateway, &ours.outpost().unwrap()).await, Ok(()));
        assert!(meet(&gateway, &others.outpost().unwrap()).await.is_err(), "another cluster's");
        assert!(meet(&others.gateway().unwrap(), &ours.outpost().unwrap()).await.is_err(), "another gateway");
        assert!(meet(&ours.outpost().unwrap(), &ours.outpost().unwrap()).await.is_err(), "an outpost is no gateway");
        let authority: Authority = serde_json::from_str(&serde_json::to_string(&ours).unwrap()).unwrap();
        assert_eq!(meet(&gateway, &authority.outpost().unwrap()).await, Ok(()), "also when it was written down");
    }

    #[test]
    fn keys_are_not_shown() {
        let authority = Authority::new().unwrap();
        assert_eq!(format!("{authority:?} {:?}", authority.outpost().unwrap()), "Authority Identity");
    }
}
