"""The certificate of a server, for HTTPS and for gRPC."""

import dataclasses
import ssl

from bert_tf.utils import files


@dataclasses.dataclass(frozen=True)
class Tls:
    """A certificate and its key.

    Attributes:
        context: the settings of HTTPS.
        certificate: the certificate, and those that signed it, in PEM.
        key: the key in PEM.
    """

    context: ssl.SSLContext
    certificate: bytes
    key: bytes


def read_tls(certificate_file: str | None, key_file: str | None = None) -> Tls:
    """Return a certificate and its key.

    Args:
        certificate_file: the file of the certificate, and of those that signed it, in PEM.
        key_file: the file of its key; None if it is in the same file.

    Raises:
        ValueError: the files cannot be read, or do not hold a certificate and its key; or there is a key alone.
    """
    if not certificate_file:
        raise ValueError(f"`key_file` needs `certificate_file`. Received: {key_file!r} alone")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate_file, key_file)
        certificate, key = (files.read_bytes(path) for path in (certificate_file, key_file or certificate_file))
    except OSError as error:  # among them ssl.SSLError
        received = certificate_file if key_file is None else f"{certificate_file} and {key_file}"
        raise ValueError(
            f"`certificate_file` must hold a certificate in PEM, with its key. Received: {received} ({error})"
        ) from None
    return Tls(context, certificate, key)
