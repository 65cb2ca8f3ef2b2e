"""xxh3_128 by machine code: by the functions of the library that the package `xxhash` is made of, which its extension
exports or is linked to. The digests are those of `xxhash`, which is asked when there is any doubt."""

from __future__ import annotations

import ctypes
import importlib.util
import weakref
from collections.abc import Callable

import xxhash

_ONE_SHOT = ("XXH3_128bits_dispatch", "XXH3_128bits")
_UPDATE = ("XXH3_128bits_update_dispatch", "XXH3_128bits_update")
"""The first one of each chooses among the processor's vector units, where the library was built so."""
_SAMPLES = (b"", b"migmond", bytes(range(256)) * 5)
"""One of each way that it has: nothing, what is short (up to 240 bytes), what is long."""
_PIECE_BYTES = 1 << 20
_HOLE_STEP_BYTES = 16 << 20
_BLOCK_BYTES = 1024
_ZEROS = bytes(2 * _BLOCK_BYTES)
_ZEROS_AT_ONCE = 1 << 30
"""4 ms."""


class _Hash128(ctypes.Structure):
    """`XXH128_hash_t` of xxhash.h."""

    _fields_ = (("low", ctypes.c_uint64), ("high", ctypes.c_uint64))


class PlainHash:
    """xxh3_128 as `xxhash` has it: zeros are hashed like anything else."""

    def __init__(self) -> None:
        self._hash = xxhash.xxh3_128()

    def update(self, data: bytes | memoryview) -> None:
        self._hash.update(data)

    def zeros(self, count: int, step: Callable[[int], None]) -> None:
        """Hash so many zeros. `step(0)` is called now and then: those of a huge hole take their time."""
        piece = memoryview(bytes(min(count, _PIECE_BYTES)))
        done = 0
        while done < count:
            self._hash.update(piece[: count - done])
            done += _PIECE_BYTES
            if done % _HOLE_STEP_BYTES == 0:
                step(0)

    def digest(self) -> bytes:
        return self._hash.digest()


class SkippingHash:
    """The same in its result, but runs of zeros cost next to nothing: see zeros.c. Made by `hashes`."""

    def __init__(self, code: ctypes.CDLL, machine: ctypes.CDLL, update: str) -> None:
        self._code, self._update, self._skip = code, getattr(code, update), machine.migmond_hash_zeros
        self._state = code.XXH3_createState()
        if not self._state:
            raise MemoryError
        weakref.finalize(self, code.XXH3_freeState, self._state)
        code.XXH3_128bits_reset(self._state)

    def update(self, data: bytes | memoryview) -> None:
        """Hash some bytes; a view has to be of memory that can be written to."""
        if isinstance(data, memoryview):
            if data.nbytes:
                self._update(self._state, ctypes.addressof(ctypes.c_char.from_buffer(data)), data.nbytes)
        else:
            self._update(self._state, data, len(data))

    def zeros(self, count: int, step: Callable[[int], None]) -> None:
        """See `PlainHash`."""
        blocks = (count - len(_ZEROS)) // _BLOCK_BYTES
        if blocks > 0:
            self._update(self._state, _ZEROS, len(_ZEROS))  # of all before these nothing is kept
            count -= len(_ZEROS) + blocks * _BLOCK_BYTES
        while blocks > 0:
            some = min(blocks, _ZEROS_AT_ONCE // _BLOCK_BYTES)
            if self._skip(self._state, some):
                raise RuntimeError("a hash is in a state that it cannot be in")
            blocks -= some
            step(0)
        while count > 0:
            self._update(self._state, _ZEROS, min(count, len(_ZEROS)))
            count -= len(_ZEROS)

    def digest(self) -> bytes:
        return _digest(self._code.XXH3_128bits_digest(self._state))


Hash = PlainHash | SkippingHash


def hashes(machine: ctypes.CDLL | None) -> Callable[[], Hash]:
    """Return what makes hashes: those that skip zeros where that can be done, and gives the digests of `xxhash`.

    Args:
        machine: the machine code, None where there is none.
    """
    code = _library()
    if code is None or machine is None:
        return PlainHash
    update = next((name for name in _UPDATE if hasattr(code, name)), None)
    if update is None:
        return PlainHash
    code.XXH3_createState.restype = ctypes.c_void_p
    code.XXH3_freeState.argtypes = code.XXH3_128bits_reset.argtypes = (ctypes.c_void_p,)
    getattr(code, update).argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
    code.XXH3_128bits_digest.argtypes, code.XXH3_128bits_digest.restype = (ctypes.c_void_p,), _Hash128
    machine.migmond_hash_zeros.argtypes = (ctypes.c_void_p, ctypes.c_uint64)

    def skipping() -> Hash:
        return SkippingHash(code, machine, update)

    return skipping if _agrees(skipping) else PlainHash


def _agrees(make: Callable[[], Hash]) -> bool:
    """Whether it says what `xxhash` says of a file with holes: the library may be another one than expected."""
    skipping, plain = make(), xxhash.xxh3_128()
    for length in (1, 900, 5000):
        data = b"migmond" * length
        try:
            skipping.update(data)
            skipping.zeros(9 * length + 3000, lambda _: None)
        except RuntimeError:
            return False
        plain.update(data + bytes(9 * length + 3000))
    return skipping.digest() == plain.digest()


def hash_address() -> int | None:
    """Return where the function is that hashes some bytes in one go: `struct hash128 (const void *, size_t)`, valid as
    long as the process lives. None where there is none, or what it says is not what `xxhash` says."""
    code = _library()
    for name in _ONE_SHOT if code is not None else ():
        function = getattr(code, name, None)
        if function is None:
            continue
        function.restype, function.argtypes = _Hash128, (ctypes.c_char_p, ctypes.c_size_t)
        if all(_digest(function(sample, len(sample))) == xxhash.xxh3_128_digest(sample) for sample in _SAMPLES):
            return ctypes.cast(function, ctypes.c_void_p).value
    return None


def _library() -> ctypes.CDLL | None:
    """Return the library, None where it cannot be found."""
    extension = importlib.util.find_spec("xxhash._xxhash")
    if extension is None or extension.origin is None:
        return None
    try:
        return ctypes.CDLL(extension.origin)
    except OSError:
        return None


def _digest(found: _Hash128) -> bytes:
    return int(found.high).to_bytes(8, "big") + int(found.low).to_bytes(8, "big")
