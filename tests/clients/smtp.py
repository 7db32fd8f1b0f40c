"""A mail server that keeps what it takes in a Maildir: PORT FOLDER [tls].

With `tls` it takes mail by STARTTLS alone, of one account, with a certificate for `localhost` that it makes itself;
who is to trust it finds it in FOLDER/ca.pem.
"""

import datetime
import pathlib
import signal
import ssl
import sys

from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Mailbox
from aiosmtpd.smtp import AuthResult, LoginPassword

ACCOUNT = LoginPassword(b"apikey", b"demo-smtp-password")


def certificate(folder: pathlib.Path) -> ssl.SSLContext:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    now = datetime.datetime.now(datetime.timezone.utc)
    day = datetime.timedelta(days=1)

    def name(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    def made(subject: str, key, issuer: str, issuing, of_authority: bool) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(name(subject))
            .issuer_name(name(issuer))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - day)
            .not_valid_after(now + day)
            .add_extension(x509.BasicConstraints(ca=of_authority, path_length=None), critical=True)
        )
        if not of_authority:
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
            builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        return builder.sign(issuing, hashes.SHA256())

    authority, own = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    pem = serialization.Encoding.PEM
    trusted = made("Test authority", authority, "Test authority", authority, True)
    server = made("localhost", own, "Test authority", authority, False)
    chain, key = folder / "server.pem", folder / "server.key"
    chain.write_bytes(server.public_bytes(pem))
    key.write_bytes(
        own.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    (folder / "ca.pem").write_bytes(trusted.public_bytes(pem))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    return context


def authenticated(_server, _session, _envelope, _mechanism, given) -> AuthResult:
    # Not handled: the server answers.
    return AuthResult(success=given == ACCOUNT, handled=False)


def main() -> None:
    port, folder = int(sys.argv[1]), pathlib.Path(sys.argv[2])
    more = {}
    if "tls" in sys.argv[3:]:
        more = {
            "tls_context": certificate(folder),
            "require_starttls": True,
            "authenticator": authenticated,
            "auth_required": True,
        }
    controller = Controller(Mailbox(str(folder / "mail")), hostname="127.0.0.1", port=port, **more)
    controller.start()
    signal.pause()


main()
