"""Certificates for tests: who signs, who serves, who calls, and some that are no good."""

from __future__ import annotations

import datetime

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

CA = trustme.CA(organization_name="ngksock tests")
OTHER_CA = trustme.CA(organization_name="somebody else")
NAME = "server.example.org"
SERVER = CA.issue_cert(NAME, "127.0.0.1", "::1")
CLIENT = CA.issue_cert("client@example.org", common_name="a client")


def pem_of(cert: trustme.LeafCert) -> bytes:
    """Return key, certificate and chain in one piece."""
    return cert.private_key_and_cert_chain_pem.bytes()


def self_made(name: str, begin: int, end: int, rsa_bits: int = 0) -> bytes:
    """Return a certificate signed by itself, valid from day *begin* to *end*, and its key."""
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
    if rsa_bits:
        key = rsa.generate_private_key(65537, rsa_bits)
    else:
        key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    cert = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + datetime.timedelta(days=begin))
        .not_valid_after(now + datetime.timedelta(days=end))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return private + cert.public_bytes(Encoding.PEM)
