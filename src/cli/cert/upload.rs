//! How a certificate gets into an app registration: the same steps after each command that makes one.

use std::{
    io::{self, Write},
    path::Path,
};

/// Step 1 of a list: the portal, or the Azure command line.
pub(super) fn write_steps(out: &mut impl Write, certificate: &Path) -> io::Result<()> {
    let certificate = certificate.display();
    writeln!(out, "  1. upload {certificate} in the Entra admin center: App registrations > your web site >")?;
    writeln!(out, "     Certificates & secrets > Certificates > Upload certificate; or")?;
    writeln!(out, "     az ad app credential reset --id CLIENT_ID --cert @{certificate} --append")
}
