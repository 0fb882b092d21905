"""Changes files in ways that no writer does on demand: docs/format.md, sections 2 and 3."""

import struct

_TABLE = []
for _byte in range(256):
    for _ in range(8):
        _byte = (_byte >> 1) ^ (0x82F63B78 if _byte & 1 else 0)
    _TABLE.append(_byte)


def crc32c(data):
    value = 0xFFFFFFFF
    for byte in data:
        value = (value >> 8) ^ _TABLE[(value ^ byte) & 0xFF]
    return value ^ 0xFFFFFFFF


def parts(data):
    """The parts of a whole file: pairs of their bytes and the offsets of the metadata in them."""
    at = 0
    while at < len(data):
        size, magic = struct.unpack_from("<I12x8s", data, at)
        metadata = [0]
        if magic == b"ALOGHEAD":
            head, body, tail = struct.unpack_from("<III", data, at + 116)
            metadata.append(head + body)
            size = head + body + tail
        yield data[at : at + size], metadata
        at += size


def is_block(part):
    return part[16:24] == b"ALOGHEAD"


def joined(found, segment, first_sequence=None, session=None):
    """A file of these parts, with offsets, numbers and checksums that are right there; of another session if one is given."""
    data = bytearray()
    for part, metadata in found:
        begin = len(data)
        data += part
        for offset in metadata:
            at = begin + offset
            struct.pack_into("<Q", data, at + 32, at)
            struct.pack_into("<Q", data, at + 56, segment)
            if session is not None:
                struct.pack_into("<Q", data, at + 64, session)
            if data[at + 16 : at + 24] == b"ALOGSTRT" and first_sequence is not None:
                struct.pack_into("<Q", data, at + 88, first_sequence)
            seal(data, at)
    return bytes(data)


def seal(data, at):
    """Sets the checksum of a metadata block."""
    [size] = struct.unpack_from("<I", data, at)
    checksum = crc32c(bytes(data[at : at + 12] + data[at + 16 : at + size]))
    struct.pack_into("<I", data, at + 12, checksum)


def with_version(data, version):
    """The file with another version of the format in its first part."""
    data = bytearray(data)
    struct.pack_into("<I", data, 24, version)
    seal(data, 0)
    return bytes(data)


def original(records):
    """A file of the original logger with one shard: docs/format.md, section 1."""
    data = b"".join(struct.pack("<I", len(record)) + record for record in records)
    capacity = -(-(8 + len(data)) // 4096) * 4096
    return struct.pack("<II", capacity, len(data)) + data.ljust(capacity - 8, b"\0")
