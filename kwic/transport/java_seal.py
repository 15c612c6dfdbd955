"""How Java keystores seal a private key: JKS xors it with a SHA-1 key stream, JCEKS uses its own PBEWithMD5AndTripleDES.

Neither protects much; the stores exist by the thousand and a gateway has to read them.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.padding import PKCS7

from kwic.transport import der

_SHA1_BYTES = 20
_ITERATIONS_LIMIT = 5_000_000  # what the JDK itself allows
_ITERATIONS_WRITTEN = 20_000  # 10 ms here; the password lies in a file next to the store anyway
_SALT_BYTES = 8
_TRIPLE_DES_KEY_BYTES = 24
_JKS_PROTECTOR = bytes.fromhex("2b060104012a02110101")  # 1.3.6.1.4.1.42.2.17.1.1
_JCEKS_PROTECTOR = bytes.fromhex("2b060104012a021301")  # 1.3.6.1.4.1.42.2.19.1


def unseal(envelope: bytes, password: bytes) -> bytes:
    """Open a sealed key.

    :param envelope: an EncryptedPrivateKeyInfo.
    :returns: the key in PKCS#8.
    :raises ValueError: wrong password, damaged, or sealed in another way.
    """
    algorithm, sealed = der.single(envelope).children()
    kind, *parameters = algorithm.children()
    if kind.content == _JKS_PROTECTOR:
        return _unseal_jks(sealed.expect(der.OCTET_STRING), password)
    if kind.content == _JCEKS_PROTECTOR and parameters:
        return _unseal_jceks(sealed.expect(der.OCTET_STRING), parameters[0], password)
    raise ValueError("sealed in an unknown way")


# -- JKS ------------------------------------------------------------------------------------------------


def utf16(password: bytes) -> bytes:
    """:returns: a password, read as UTF-8, the way Java hashes it."""
    return password.decode("utf-8", "surrogateescape").encode("utf-16-be", "surrogatepass")


def _key_stream(secret: bytes, salt: bytes, size: int) -> bytes:
    stream, block = bytearray(), salt
    while len(stream) < size:
        block = hashlib.sha1(secret + block, usedforsecurity=False).digest()
        stream += block
    return bytes(stream[:size])


def _xor(left: bytes, right: bytes) -> bytes:
    return (int.from_bytes(left, "big") ^ int.from_bytes(right, "big")).to_bytes(len(left), "big")


def _unseal_jks(sealed: bytes, password: bytes) -> bytes:
    if len(sealed) <= 2 * _SHA1_BYTES:
        raise ValueError("too short")
    secret = utf16(password)
    salt, body, check = sealed[:_SHA1_BYTES], sealed[_SHA1_BYTES:-_SHA1_BYTES], sealed[-_SHA1_BYTES:]
    plain = _xor(body, _key_stream(secret, salt, len(body)))
    if not hmac.compare_digest(hashlib.sha1(secret + plain, usedforsecurity=False).digest(), check):
        raise ValueError("wrong password")
    return plain


def seal_jks(plain: bytes, password: bytes, random_bytes: Callable[[int], bytes]) -> bytes:
    """:returns: an EncryptedPrivateKeyInfo as JKS has it."""
    secret, salt = utf16(password), random_bytes(_SHA1_BYTES)
    body = _xor(plain, _key_stream(secret, salt, len(plain)))
    sealed = salt + body + hashlib.sha1(secret + plain, usedforsecurity=False).digest()
    algorithm = der.encode(
        der.SEQUENCE, der.encode(der.OBJECT_IDENTIFIER, _JKS_PROTECTOR), der.encode(der.NULL)
    )
    return der.encode(der.SEQUENCE, algorithm, der.encode(der.OCTET_STRING, sealed))


# -- JCEKS ----------------------------------------------------------------------------------------------


def _halves(salt: bytes) -> tuple[tuple[bytes, bytes], ...]:
    """The halves of the salt as they are digested: equal ones are not, the first is turned round. Old JDKs got that wrong."""
    first, second = salt[:4], salt[4:]
    if first != second:
        return ((first, second),)
    turned = first[::-1]
    as_in_old_jdks = bytes((first[3], first[0], first[1], first[3]))
    return ((turned, second), (as_in_old_jdks, second))


def _triple_des(password: bytes, halves: tuple[bytes, bytes], iterations: int) -> Cipher[CBC]:
    derived = b""
    for half in halves:
        block = half
        for _ in range(iterations):
            block = hashlib.md5(block + password, usedforsecurity=False).digest()
        derived += block
    return Cipher(TripleDES(derived[:_TRIPLE_DES_KEY_BYTES]), CBC(derived[_TRIPLE_DES_KEY_BYTES:]))


def _unseal_jceks(sealed: bytes, parameters: der.Element, password: bytes) -> bytes:
    salt, iterations = parameters.children()
    count = int.from_bytes(iterations.expect(der.INTEGER), "big", signed=True)
    if len(salt.expect(der.OCTET_STRING)) != _SALT_BYTES or not 0 < count <= _ITERATIONS_LIMIT:
        raise ValueError("sealed with parameters that no JDK writes")
    for halves in _halves(salt.content):
        decryptor = _triple_des(password, halves, count).decryptor()
        unpadder = PKCS7(TripleDES.block_size).unpadder()
        padded = decryptor.update(sealed) + decryptor.finalize()
        try:
            return unpadder.update(padded) + unpadder.finalize()
        except ValueError:
            continue
    raise ValueError("wrong password")


def seal_jceks(plain: bytes, password: bytes, random_bytes: Callable[[int], bytes]) -> bytes:
    """:returns: an EncryptedPrivateKeyInfo as JCEKS has it."""
    salt = random_bytes(_SALT_BYTES)
    encryptor = _triple_des(password, _halves(salt)[0], _ITERATIONS_WRITTEN).encryptor()
    padder = PKCS7(TripleDES.block_size).padder()
    sealed = encryptor.update(padder.update(plain) + padder.finalize()) + encryptor.finalize()
    parameters = der.encode(
        der.SEQUENCE, der.encode(der.OCTET_STRING, salt), der.encode_integer(_ITERATIONS_WRITTEN)
    )
    algorithm = der.encode(der.SEQUENCE, der.encode(der.OBJECT_IDENTIFIER, _JCEKS_PROTECTOR), parameters)
    return der.encode(der.SEQUENCE, algorithm, der.encode(der.OCTET_STRING, sealed))
