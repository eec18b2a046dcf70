"""Encodes OTLP protobuf messages, without a protobuf library."""

from _struct import pack

HAS_REMOTE = 0x100  # bits of a span's flags, beside those of the W3C
IS_REMOTE = 0x200

_ONE_BYTE = [bytes((n,)) for n in range(128)]


def varint(n):
    if n < 128:
        return _ONE_BYTE[n]
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    out.append(n)
    return bytes(out)


def text(value):
    """UTF-8, also of a str with lone surrogates. Never calls a method of a subclass of str."""
    try:
        return str.encode(value)
    except UnicodeEncodeError:
        return str.encode(value, "utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()


def field(tag, data):
    """A field of bytes; tag is its number << 3 | 2 as one byte."""
    n = len(data)
    return tag + (_ONE_BYTE[n] if n < 128 else varint(n)) + data


def number(tag, n):
    """A field with a count: nothing for 0."""
    return tag + varint(min(n, 0xFFFFFFFF)) if n and n > 0 else b""


def fixed64(tag, n):
    return tag + pack("<Q", n) if n and n > 0 else b""


def value(v):
    """The fields of an AnyValue. Raises ValueError for what has no place in one."""
    if isinstance(v, str):
        return field(b"\x0a", text(v))
    if isinstance(v, bool):
        return b"\x10\x01" if v else b"\x10\x00"
    if isinstance(v, int):
        n = int.__index__(v)
        if -(1 << 63) <= n < 1 << 63:
            return b"\x18" + varint(n & 0xFFFFFFFFFFFFFFFF)
        return field(b"\x0a", str(n).encode())
    if isinstance(v, float):
        return b"\x21" + pack("<d", v)
    if v is None:
        return b""
    if isinstance(v, (bytes, bytearray)):
        return field(b"\x3a", bytes(v))
    if isinstance(v, (list, tuple)):
        return field(b"\x2a", b"".join([field(b"\x0a", value(e)) for e in v]))
    if hasattr(v, "items"):
        return field(b"\x32", attributes(b"\x0a", v.items())[0])
    raise ValueError("no attribute value")


_keys = {}  # encoded names of attributes; there are few


def _key(name):
    data = field(b"\x0a", text(name))
    if len(_keys) < 2000:
        _keys[name] = data
    return data


def attributes(tag, items):
    """Returns the encoded KeyValue fields, and how many items could not be encoded."""
    out = []
    dropped = 0
    for name, v in items:
        key = _keys.get(name) or _key(name)
        if type(v) is str and len(v) < 100:
            data = text(v)
            n = len(data)
            rest = len(key) + n + 4
            if rest < 128:  # as most are: each length takes one byte
                one = _ONE_BYTE
                out.append(b"".join((tag, one[rest], key, b"\x12", one[n + 2], b"\x0a", one[n], data)))
                continue
        try:
            out.append(field(tag, key + field(b"\x12", value(v))))
        except (ValueError, RecursionError):
            dropped += 1
    return b"".join(out), dropped


def span(trace_id, span_id, parent_id, name, kind, start, end, more, flags):
    """A Span: ids in bytes, times in ns since 1970, end None for one that has only started; more are fields 3 and 9 to 15."""
    # The flags are last: so a record never ends in zeros.
    return b"".join((
        b"\x0a\x10", trace_id, b"\x12\x08", span_id, b"\x22\x08" + parent_id if parent_id else b"", field(b"\x2a", text(name)),
        b"\x30", _ONE_BYTE[kind], fixed64(b"\x39", start), fixed64(b"\x41", end), more, b"\x85\x01", pack("<I", flags),
    ))  # fmt: skip


def context(resource_items, resource_schema, name, version, schema, scope_items=()):
    """A ResourceSpans with a resource and a scope, and no spans."""
    scope = _some(b"\x0a", name) + _some(b"\x12", version) + attributes(b"\x1a", scope_items)[0]
    scopes = field(b"\x0a", scope) + _some(b"\x1a", schema)
    resource = field(b"\x0a", attributes(b"\x0a", resource_items)[0])
    return resource + field(b"\x12", scopes) + _some(b"\x1a", resource_schema)


def _some(tag, string):
    return field(tag, text(string)) if string else b""
