#!/usr/bin/env python3
"""Reads a TensorBoard event file by the format's definition, with its checks, and prints a line per scalar:

    step tag value
    step session status
"""
import struct
import sys

TABLE = []
for i in range(256):
    crc = i
    for _ in range(8):
        crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    TABLE.append(crc)


def masked_crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def records(data):
    at = 0
    while at < len(data):
        head, (length, check) = data[at : at + 8], struct.unpack_from("<QI", data, at)
        assert check == masked_crc32c(head), "check of a length"
        body = data[at + 12 : at + 12 + length]
        assert len(body) == length, "a torn record"
        assert struct.unpack_from("<I", data, at + 12 + length)[0] == masked_crc32c(body), "check of a record"
        yield body
        at += 16 + length


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def fields(data):
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        if key & 7 == 0:
            value, at = varint(data, at)
        elif key & 7 == 1:
            value, at = struct.unpack_from("<d", data, at)[0], at + 8
        elif key & 7 == 5:
            value, at = struct.unpack_from("<f", data, at)[0], at + 4
        elif key & 7 == 2:
            length, at = varint(data, at)
            value, at = data[at : at + length], at + length
        else:
            raise AssertionError(f"wire type {key & 7}")
        yield key >> 3, value


def main():
    assert masked_crc32c(b"123456789") == ((0xE3069283 >> 15 | 0xE3069283 << 17) + 0xA282EAD8) & 0xFFFFFFFF
    with open(sys.argv[1], "rb") as file:
        events = [dict(fields(body)) for body in records(file.read())]
    assert events[0][3] == b"brain.Event:2", "the version comes first"
    for event in events:
        assert event[1] > 1e9, "a time"
        for _, value in fields(event.get(5, b"")):
            scalar = dict(fields(value))
            print(event[2], scalar[1].decode(), f"{scalar[2]:.7g}")
        if 7 in event:
            print(event[2], "session", dict(fields(event[7]))[1])


main()
