#!/usr/bin/env python3
"""Writes small databases in the format of MaxMind, from its public description (MaxMind DB 2.0).
mmdb.py FOLDER writes the seeds of fuzz/corpus/places, which tests/unit/server/places reads, too."""
import ipaddress
import os
import struct
import sys

MARKER = b"\xab\xcd\xefMaxMind.com"
POINTER, TEXT, DOUBLE, BYTES, U16, U32, MAP, I32, U64, U128, LIST, FLAG, FLOAT = (
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 14, 15)
BUILT = 1763771512


class Raw(bytes):
    """Bytes that stand for themselves, right or wrong."""


class U16Value(int):
    """The format has whole numbers of several lengths, and readers ask for the right one."""


class U64Value(int):
    pass


def head(kind, size):
    if size < 29:
        low, more = size, b""
    elif size < 285:
        low, more = 29, bytes([size - 29])
    elif size < 65821:
        low, more = 30, (size - 285).to_bytes(2, "big")
    else:
        low, more = 31, (size - 65821).to_bytes(3, "big")
    return (bytes([low, kind - 7]) if kind > 7 else bytes([kind << 5 | low])) + more


def pointer(to):
    return bytes([POINTER << 5 | 3 << 3]) + to.to_bytes(4, "big")


def encode(value):
    if isinstance(value, Raw):
        return bytes(value)
    if isinstance(value, bool):
        return head(FLAG, int(value))
    if isinstance(value, U16Value):
        return encode_int(U16, value)
    if isinstance(value, U64Value):
        return encode_int(U64, value)
    if isinstance(value, int):
        return encode_int(U32, value)
    if isinstance(value, float):
        return head(DOUBLE, 8) + struct.pack(">d", value)
    if isinstance(value, str):
        raw = value.encode()
        return head(TEXT, len(raw)) + raw
    if isinstance(value, dict):
        return head(MAP, len(value)) + b"".join(encode(k) + encode(v) for k, v in value.items())
    return head(LIST, len(value)) + b"".join(encode(v) for v in value)


def encode_int(kind, value):
    raw = value.to_bytes((value.bit_length() + 7) // 8, "big")
    return head(kind, len(raw)) + raw


class Tree:
    """Networks and where their values are in the data section."""

    def __init__(self, ip_version, record_size):
        self.ip_version, self.record_size, self.nodes = ip_version, record_size, [[None, None]]

    def add(self, net, at):
        net = ipaddress.ip_network(net)
        bits = f"{int(net.network_address):0{net.max_prefixlen}b}"[:net.prefixlen]
        if self.ip_version == 6 and net.version == 4:
            bits = "0" * 96 + bits
        node = 0
        for i, bit in enumerate(bits):
            if i == len(bits) - 1:
                self.nodes[node][int(bit)] = ("data", at)
            elif not isinstance(self.nodes[node][int(bit)], int):
                self.nodes.append([None, None])
                self.nodes[node][int(bit)] = len(self.nodes) - 1
            node = self.nodes[node][int(bit)] if i < len(bits) - 1 else node

    def record(self, value):
        if value is None:
            return len(self.nodes)
        return value if isinstance(value, int) else len(self.nodes) + 16 + value[1]

    def encode(self):
        out = b""
        for left, right in ((self.record(n[0]), self.record(n[1])) for n in self.nodes):
            if self.record_size == 28:
                out += left.to_bytes(4, "big")[1:] + bytes([left >> 24 << 4 | right >> 24])
                out += right.to_bytes(4, "big")[1:]
            else:
                out += left.to_bytes(self.record_size // 8, "big")
                out += right.to_bytes(self.record_size // 8, "big")
        return out


def database(kind, nets, built=BUILT, ip_version=6, record_size=28, before=b"", nodes=None, **metadata):
    """The bytes of a database of this type: {"203.0.113.0/24": value}; `before` leads the data, and
    `nodes` stand in for the tree."""
    tree, data = Tree(ip_version, record_size), before
    for net, value in nets.items():
        tree.add(net, len(data))
        data += encode(value)
    meta = {"binary_format_major_version": U16Value(2), "binary_format_minor_version": U16Value(0),
            "build_epoch": U64Value(built), "database_type": kind, "description": {"en": "made for a test"},
            "ip_version": U16Value(ip_version), "languages": ["en"], "node_count": len(tree.nodes),
            "record_size": U16Value(record_size), **metadata}
    return (nodes or tree.encode()) + bytes(16) + data + MARKER + encode(meta)


def city(country, lat, lon, km=None, **more):
    location = {"latitude": float(lat), "longitude": float(lon), "time_zone": "Etc/UTC"}
    if km is not None:
        location = {"accuracy_radius": U16Value(km), **location}
    return {"city": {"geoname_id": 7, "names": {"en": "Town"}},
            "country": {"geoname_id": 8, "iso_code": country, "names": {"en": "Land", "de": "Land"}},
            "location": location, "subdivisions": [{"iso_code": "11", "names": {"en": "Part"}}], **more}


def asn(number):
    return {"autonomous_system_number": number, "autonomous_system_organization": "Example Org"}


LISBON, TOKYO, NEAR = "203.0.113.0/24", "198.51.100.0/24", "192.0.2.0/24"
SIX = "2001:db8::/32"


def one(value, **more):
    return database("GeoLite2-City", {LISBON: value}, **more)


def nested(depth):
    return Raw(encode({"skipped": 0})[:-1] + head(LIST, 1) * depth + encode("x"))


def wide(levels, before):
    """Lists of pointers to the list before: 16 to the power of `levels` values."""
    at = 0
    for _ in range(levels):
        here = len(before)
        before += head(LIST, 16) + pointer(at) * 16
        at = here
    return before, at


def seeds():
    cities = {LISBON: city("PT", 38.7223, -9.1393, 20), TOKYO: city("JP", 35.6895, 139.6917, 50),
              NEAR: city("PT", 38.68, -9.15), SIX: city("CL", -33.4489, -70.6693, 5)}
    bomb, top = wide(8, encode("x"))
    return {
        "city": database("GeoLite2-City", cities),
        "city_24": database("GeoLite2-City", cities, record_size=24),
        "city_32": database("GeoLite2-City", cities, record_size=32),
        "city_of_v4_only": database("GeoLite2-City", {LISBON: cities[LISBON]}, ip_version=4, record_size=24),
        "city_later": database("GeoLite2-City", {LISBON: cities[TOKYO], TOKYO: cities[LISBON]}, built=BUILT + 86400),
        "country_only": database("DBIP-Country-Lite", {LISBON: {"country": {"iso_code": "PT"}}}),
        "asn": database("GeoLite2-ASN", {LISBON: asn(64500), TOKYO: asn(4294967295), SIX: asn(64501)}),
        "ipinfo": database("ipinfo generic_lite_sample.mmdb", {
            LISBON: {"asn": "AS64500", "country": "Portugal", "country_code": "PT", "type": "isp"},
            TOKYO: {"asn": "AS99999999999", "country": "JP", "as_type": "hosting"},
            NEAR: {"asn": "64500", "country_code": "pt", "hosting": "true"},
            SIX: {"asn": "AS", "hosting": "", "proxy": "true", "type": "hosting"}}),
        "kind": database("GeoIP2-Anonymous-IP", {
            LISBON: {"is_anonymous": True, "is_anonymous_vpn": True, "is_hosting_provider": True},
            TOKYO: {"is_anonymous": True, "is_tor_exit_node": True, "is_hosting_provider": False},
            NEAR: {"is_residential_proxy": True}, SIX: {"is_anonymous_vpn": True}}),
        "connection": database("GeoIP2-Connection-Type", {
            LISBON: {"connection_type": "Cellular"}, TOKYO: {"connection_type": "Cable/DSL"},
            NEAR: {"connection_type": "Corporate"}, SIX: {"connection_type": "by pigeon"}}),
        "through_pointers": database(
            "GeoLite2-City", {LISBON: {"country": Raw(pointer(0)), "location": Raw(
                pointer(len(encode({"iso_code": "PT"}))))}},
            before=encode({"iso_code": "PT"}) + encode({"latitude": 38.7, "longitude": -9.1})),
        "bad_pole": one(city("PT", 90.5, 0)),
        "bad_not_a_number": one(city("PT", float("nan"), float("inf"))),
        "bad_types": one({"country": {"iso_code": 7}, "location": {"latitude": "38", "longitude": True}}),
        "bad_not_a_map": one("only a text"),
        "bad_country": one(city("P1", 38.7, -9.1, 65535)),
        "bad_cut_value": one(Raw(head(TEXT, 70000))),
        "bad_pointer_outside": one(Raw(pointer(0x7FFFFFFF))),
        "bad_pointer_to_itself": one(Raw(pointer(0))),
        "bad_pointer_in_a_circle": one(Raw(head(LIST, 1) + pointer(0))),
        "bad_deep_lists": one(nested(40)),
        "bad_many_values": database("GeoLite2-City", {LISBON: Raw(pointer(top))}, before=bomb),
        "bad_large_size": one(Raw(b"\xff\xff\xff\xff")),
        "bad_tree_in_a_circle": one(city("PT", 1, 1), record_size=24, node_count=3,
                                    nodes=bytes([0, 0, 1]) * 6),
        "no_metadata": b"only bytes",
        "no_build_time": one(city("PT", 1, 1), built=0),
        "no_nodes": one(city("PT", 1, 1), node_count=1 << 31),
        "huge_metadata": one(city("PT", 1, 1), languages=["en"] * 9000),
        "deep_metadata": one(city("PT", 1, 1), languages=nested(200)),
    }


def write(path, raw):
    """Beside, then over it, as a timer of the operator does."""
    with open(path + ".new", "wb") as f:
        f.write(raw)
    os.replace(path + ".new", path)


if __name__ == "__main__":
    for seed, content in seeds().items():
        with open(os.path.join(sys.argv[1], seed), "wb") as out:
            out.write(content)
