#!/usr/bin/env python3
"""Checks that Python's msgpack, set as docs/wire.md says, reads the vectors, and writes
what reads as them again. With an argument it writes its encodings to that file."""
import json, os, sys
import msgpack
from datetime import datetime, timezone


def want(v):
    """What a value of the file is in Python."""
    if isinstance(v, list):
        return [want(x) for x in v]
    if not isinstance(v, dict):
        return v
    if set(v) == {"int"}:
        return int(v["int"])
    if set(v) == {"float"}:
        return float(v["float"])
    if set(v) == {"bytes"}:
        return bytes.fromhex(v["bytes"])
    if set(v) == {"time"}:
        whole, _, fraction = v["time"].rstrip("Z").partition(".")
        at = datetime.fromisoformat(whole).replace(tzinfo=timezone.utc)
        seconds = (at - datetime(1970, 1, 1, tzinfo=timezone.utc)).total_seconds()
        return msgpack.Timestamp(int(seconds), int((fraction or "0").ljust(9, "0")))
    return {k: want(x) for k, x in v.items()}


def raw(v):
    """What it is where nothing tells strings, bytes and times."""
    if isinstance(v, list):
        return [raw(x) for x in v]
    if isinstance(v, dict):
        return {k.encode(): raw(x) for k, x in v.items()}
    if isinstance(v, msgpack.Timestamp):
        return v.to_bytes()
    return v.encode() if isinstance(v, str) else v


vectors = json.load(open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "vectors.json")))
wrong, written = 0, {}
for v in vectors:
    value = want(v["value"])
    modern = [v["modern"]] + [a["hex"] for a in v.get("also", [])]
    got = [msgpack.unpackb(bytes.fromhex(h), timestamp=0, strict_map_key=False) for h in modern]
    plain = msgpack.unpackb(bytes.fromhex(v["plain"]), raw=True, strict_map_key=False)
    written[v["name"]] = msgpack.packb(value, use_bin_type=True).hex()
    got[1:] = [g.decode() if isinstance(g, bytes) and isinstance(value, str) else g for g in got[1:]]
    if any(g != value for g in got) or plain != raw(value):
        print(v["name"], "is", value, "and reads as", got, plain)
        wrong += 1
if len(sys.argv) > 1:
    json.dump(written, open(sys.argv[1], "w"))
print(f"{len(vectors) - wrong} passed, {wrong} failed")
sys.exit(wrong > 0)
