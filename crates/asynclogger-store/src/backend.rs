//! Makes the clients of the stores, from a location and the environment.

use std::{
    collections::HashMap,
    env,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use object_store::{
    BackoffConfig, ClientConfigKey, ObjectStore, RetryConfig,
    aws::{AmazonS3Builder, AmazonS3ConfigKey},
    azure::{AzureConfigKey, MicrosoftAzureBuilder},
    gcp::{GoogleCloudStorageBuilder, GoogleConfigKey},
    local::LocalFileSystem,
    memory::InMemory,
};

use crate::{Error, ErrorKind, Location, Scheme};

/// How long a request is repeated before its call fails. Far less than the time for which a queue before a store waits.
pub const RETRY_TIMEOUT: Duration = Duration::from_secs(30);

/// Limits in time, unless the environment sets others: of a whole request with its part of the data, of connecting, and of a
/// pause in an answer.
const LIMITS: [(ClientConfigKey, &str); 3] = [
    (ClientConfigKey::Timeout, "60 seconds"),
    (ClientConfigKey::ConnectTimeout, "5 seconds"),
    (ClientConfigKey::ReadTimeout, "20 seconds"),
];

/// The client for a location.
pub(crate) fn open(location: &Location) -> Result<Arc<dyn ObjectStore>, Error> {
    // The first provider of a process stays; TLS needs one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let failed = |error| Error::of("open", location.to_string(), &error);
    Ok(match location.scheme() {
        Scheme::S3 => Arc::new(s3(location)?.build().map_err(failed)?),
        Scheme::Gcs => Arc::new(gcs(location)?.build().map_err(failed)?),
        Scheme::Azure => Arc::new(azure(location)?.build().map_err(failed)?),
        // An object that was acknowledged outlives a power cut, as in the other stores.
        Scheme::File => Arc::new(LocalFileSystem::new().with_fsync(true)),
        Scheme::Memory => memory(location.bucket()),
    })
}

fn s3(location: &Location) -> Result<AmazonS3Builder, Error> {
    use AmazonS3ConfigKey::{Client, Endpoint, S3Endpoint};
    let mut builder = AmazonS3Builder::from_env();
    for key in [Endpoint, S3Endpoint] {
        check_tls(location, builder.get_config_value(&key), "AWS_ALLOW_HTTP")?;
    }
    for (key, limit) in LIMITS {
        if !is_set("AWS", key) {
            builder = builder.with_config(Client(key), limit);
        }
    }
    Ok(builder.with_bucket_name(location.bucket()).with_retry(retries()))
}

fn gcs(location: &Location) -> Result<GoogleCloudStorageBuilder, Error> {
    use GoogleConfigKey::{BaseUrl, Client};
    let mut builder = GoogleCloudStorageBuilder::from_env();
    check_tls(location, builder.get_config_value(&BaseUrl), "GOOGLE_ALLOW_HTTP")?;
    // The builder of this store alone allows plain http unless told otherwise.
    let allowed = is_allowed("GOOGLE_ALLOW_HTTP").to_string();
    builder = builder.with_config(Client(ClientConfigKey::AllowHttp), allowed);
    for (key, limit) in LIMITS {
        if !is_set("GOOGLE", key) {
            builder = builder.with_config(Client(key), limit);
        }
    }
    Ok(builder.with_bucket_name(location.bucket()).with_retry(retries()))
}

fn azure(location: &Location) -> Result<MicrosoftAzureBuilder, Error> {
    use AzureConfigKey::{Client, Endpoint};
    let mut builder = MicrosoftAzureBuilder::from_env();
    check_tls(location, builder.get_config_value(&Endpoint), "AZURE_ALLOW_HTTP")?;
    for (key, limit) in LIMITS {
        if !is_set("AZURE", key) {
            builder = builder.with_config(Client(key), limit);
        }
    }
    if let Some(account) = location.account() {
        builder = builder.with_account(account);
    }
    Ok(builder.with_container_name(location.bucket()).with_retry(retries()))
}

fn memory(name: &str) -> Arc<InMemory> {
    static STORES: OnceLock<Mutex<HashMap<String, Arc<InMemory>>>> = OnceLock::new();
    let stores = STORES.get_or_init(Mutex::default);
    let mut stores = stores.lock().unwrap_or_else(PoisonError::into_inner);
    Arc::clone(stores.entry(name.to_owned()).or_default())
}

fn retries() -> RetryConfig {
    let backoff = BackoffConfig {
        init_backoff: Duration::from_millis(100),
        max_backoff: Duration::from_secs(5),
        base: 2.0,
    };
    RetryConfig { backoff, max_retries: 4, retry_timeout: RETRY_TIMEOUT }
}

/// Whether the environment has the setting of one vendor, by the name that `object_store` reads.
fn is_set(vendor: &str, key: ClientConfigKey) -> bool {
    let name = format!("{vendor}_{}", key.as_ref().to_ascii_uppercase());
    env::var_os(name).is_some()
}

fn is_allowed(variable: &str) -> bool {
    let value = env::var(variable).unwrap_or_default().to_ascii_lowercase();
    matches!(value.as_str(), "1" | "true" | "on" | "yes" | "y")
}

fn check_tls(location: &Location, endpoint: Option<String>, variable: &str) -> Result<(), Error> {
    let is_plain = endpoint.is_some_and(|url| url.to_ascii_lowercase().starts_with("http:"));
    if !is_plain || is_allowed(variable) {
        return Ok(());
    }
    let cause = format!(
        "the endpoint is plain http, which shows data and requests to the network; use https, or set {variable}=true"
    );
    Err(Error::new(ErrorKind::Invalid, "open", location.to_string(), cause))
}
