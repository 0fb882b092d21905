//! How fast segments are shipped, beside the plain multipart upload of `object_store`: the same files, the same size of
//! parts, as many files and parts on their way. See `scripts/bench-ship`.
//!
//! throughput URL [SEGMENTS [MEGABYTES]]

use std::{
    env,
    error::Error,
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use asynclogger::{Archive, Config, Logger};
use asynclogger_ship::Shipper;
use asynclogger_store::{Location, Scheme, Store};
use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::{
    ObjectStore, ObjectStoreExt, WriteMultipart, aws::AmazonS3Builder, local::LocalFileSystem,
    path::Path as Key,
};

const PART_BYTES: usize = 8 << 20;
const FILES: usize = 2;
const PARTS: usize = 2;
const ROUNDS: usize = 5;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Result<()> {
    let mut args = env::args().skip(1);
    let url = args.next().ok_or("a URL is missing")?;
    let segments = args.next().map_or(Ok(6), |text| text.parse())?;
    let megabytes = args.next().map_or(Ok(128), |text| text.parse())?;
    let dir = tempfile::tempdir()?;
    let files = write_segments(dir.path(), segments, megabytes)?;
    let bytes: u64 = files
        .iter()
        .map(|path| path.metadata().map(|one| one.len()))
        .sum::<std::io::Result<_>>()?;
    println!("{segments} segments, {:.0} MB in all, to {url}", bytes as f64 / 1e6);
    // The first store of a process chooses the cryptography, which the plain client needs, too.
    drop(Store::open(&url)?);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    for round in 0..ROUNDS {
        let plain = time(|| runtime.block_on(plain(&format!("{url}/plain-{round}"), &files)))?;
        let ship = time(|| {
            let summary =
                Shipper::to(&format!("{url}/ship-{round}"))?.concurrency(FILES).run(dir.path())?;
            assert_eq!(summary.shipped, segments as u64);
            Ok(())
        })?;
        let rate = |seconds: f64| bytes as f64 / seconds / 1e6;
        println!("plain {:.0} MB/s, ship {:.0} MB/s: {:.2}", rate(plain), rate(ship), plain / ship);
    }
    Ok(())
}

fn time(work: impl FnOnce() -> Result<()>) -> Result<f64> {
    let begun = Instant::now();
    work()?;
    Ok(begun.elapsed().as_secs_f64())
}

fn write_segments(dir: &Path, segments: usize, megabytes: usize) -> Result<Vec<PathBuf>> {
    let logger = Logger::new(Config::new(dir.join("bench.log")))?;
    let record: Vec<u8> =
        (0..1_000_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for _ in 0..segments {
        for _ in 0..megabytes {
            while logger.try_log_bytes(&record).is_err() {
                std::thread::yield_now();
            }
        }
        logger.rotate()?;
    }
    logger.close()?;
    let archived = Archive::open(dir)?.segments()?;
    Ok(archived.iter().map(|one| one.path().to_path_buf()).collect())
}

async fn plain(url: &str, files: &[PathBuf]) -> Result<()> {
    let location = Location::parse(url)?;
    let store: Arc<dyn ObjectStore> = match location.scheme() {
        Scheme::File => Arc::new(LocalFileSystem::new().with_fsync(true)),
        _ => Arc::new(AmazonS3Builder::from_env().with_bucket_name(location.bucket()).build()?),
    };
    let uploads = files.iter().enumerate().map(|(number, path)| {
        let (store, path) = (store.clone(), path.clone());
        let key = Key::parse(format!("{}/{number}", location.prefix()));
        tokio::spawn(async move { upload(&store, &key?, &path).await })
    });
    stream::iter(uploads)
        .map(Ok)
        .try_for_each_concurrent(FILES, |upload| async { upload.await? })
        .await
}

async fn upload(store: &Arc<dyn ObjectStore>, key: &Key, path: &Path) -> Result<()> {
    let upload = store.put_multipart(key).await?;
    let mut upload = WriteMultipart::new_with_chunk_size(upload, PART_BYTES);
    let mut file = File::open(path)?;
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            upload.finish().await?;
            return Ok(());
        }
        upload.wait_for_capacity(PARTS).await?;
        upload.write(&buffer[..read]);
    }
}
