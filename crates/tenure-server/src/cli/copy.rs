//! `copy`: moves a fleet from one store to another, with its whole history.

use anyhow::Context as _;
use tenure::check::verify_all;

use super::args::Copy;
use super::error::{Exit, Failed};
use super::output::tell;
use super::progress::Bar;
use super::store::{make_room, open_existing, redacted};
use crate::open;

pub(super) async fn run(args: &Copy) -> anyhow::Result<()> {
    if args.from == args.to {
        let why = "--from and --to are the same store; name another target";
        return Err(Failed::new(Exit::Usage, why).into());
    }
    let from = open_existing(&args.from).await.context("the source")?;
    // An embedded store is made; a database must have been migrated, by whoever may do that.
    make_room(&args.to)?;
    let to = match open::open(&args.to).await {
        Ok(to) => to,
        Err(error) => {
            from.close().await;
            return Err(anyhow::Error::new(error).context("can't open the target"));
        }
    };
    let done = copied(&*from, &*to, args).await;
    from.close().await;
    to.close().await;
    done
}

async fn copied(
    from: &dyn tenure::Store,
    to: &dyn tenure::Store,
    args: &Copy,
) -> anyhow::Result<()> {
    let readiness = to.readiness().await;
    if !readiness.is_ready() {
        let to = redacted(&args.to);
        return Err(anyhow::anyhow!("the target {to} is not ready: {readiness}"));
    }
    let bar = Bar::shown("tenants copied:", None);
    let done = tenure::copy(from, to, |_| bar.step()).await;
    bar.done();
    let copied = done?;
    let bar = Bar::shown("tenants verified:", usize::try_from(copied.tenants).ok());
    let verified = verify_all(to, |_| bar.step()).await;
    bar.done();
    let verified = verified.context("everything was copied, but could not be verified")?;
    if verified.findings > 0 || verified.tenants != copied.tenants {
        return Err(anyhow::anyhow!(
            "the target does not hold what it should: {} findings in {} tenants; look with \
             `tenure doctor --store`, and do not use it",
            verified.findings,
            verified.tenants
        ));
    }
    tell(format_args!(
        "{} tenants, {} lines of history and {} tokens are in {}, and verified; serve it with \
         --store, and keep the source until you have",
        copied.tenants,
        copied.lines,
        copied.tokens,
        redacted(&args.to)
    ));
    Ok(())
}
