//! Makes the certificates of a test's server, with the `openssl` command.

use super::programs::program;
use super::scratch::Scratch;

const EXTENSIONS: &str = "subjectAltName=DNS:localhost,IP:127.0.0.1
basicConstraints=critical,CA:FALSE
keyUsage=critical,digitalSignature
extendedKeyUsage=serverAuth
";

/// Writes `ca.crt`, `server.crt` and `server.key` into the folder.
///
/// The server's certificate is for `localhost` and 127.0.0.1, is signed by that authority alone, and
/// both are good for a day.
pub(crate) async fn make_certificates(scratch: &Scratch) {
    let openssl = program("openssl");
    scratch.write("extensions", EXTENSIONS);
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    for command in [
        format!(
            "req -x509 -days 1 -subj /CN=tenure-test-authority {key} -keyout ca.key -out ca.crt \
             -addext keyUsage=critical,keyCertSign"
        ),
        format!("req -new -subj /CN=localhost {key} -keyout server.key -out server.csr"),
        "x509 -req -days 1 -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial \
         -extfile extensions -out server.crt"
            .to_owned(),
    ] {
        let arguments: Vec<&str> = command.split_whitespace().collect();
        scratch.run(&openssl, &arguments).await;
    }
}
