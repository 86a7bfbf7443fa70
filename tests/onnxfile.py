# SPDX-License-Identifier: Apache-2.0
"""ONNX messages, .pb tensors and .npy files written with the standard library alone.

A message is bytes; a function makes one from its parts (field numbers as in onnx/onnx.proto). Tests make
their small models with it, so that they need neither the onnx package nor binary files in the repository.
"""
import struct

FLOAT, UINT8, INT8, INT32, INT64, STRING, BOOL, FLOAT16, DOUBLE = 1, 2, 3, 6, 7, 8, 9, 10, 11
PACK = {FLOAT: "f", UINT8: "B", INT8: "b", INT32: "i", INT64: "q", BOOL: "?", DOUBLE: "d", FLOAT16: "e"}
NPY = {FLOAT: "<f4", UINT8: "|u1", INT8: "|i1", INT32: "<i4", INT64: "<i8", BOOL: "|b1", DOUBLE: "<f8",
       FLOAT16: "<f2"}


# ---- the wire format ------------------------------------------------------------------------------

def varint(n):
    n &= (1 << 64) - 1
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    out.append(n)
    return bytes(out)


def number(field, n):
    return varint(field << 3) + varint(n)


def real(field, x):
    return varint(field << 3 | 5) + struct.pack("<f", x)


def block(field, data):
    data = data.encode() if isinstance(data, str) else data
    return varint(field << 3 | 2) + varint(len(data)) + data


# ---- values ---------------------------------------------------------------------------------------

def elements(dtype, values):
    return struct.pack(f"<{len(values)}{PACK[dtype]}", *values)


def tensor(dtype, dims, values, name=""):
    """A TensorProto; values are a flat list."""
    out = b"".join(number(1, d) for d in dims) + number(2, dtype)
    if dtype == STRING:
        out += b"".join(block(6, v) for v in values)
    else:
        out += block(9, elements(dtype, values))
    return out + (block(8, name) if name else b"")


def map_of(entries, dtype=FLOAT, name=""):
    """A MapProto of integers or strings to scalars."""
    words = any(isinstance(k, str) for k in entries)
    values = number(2, 1) + b"".join(block(3, tensor(dtype, [], [v])) for v in entries.values())
    return ((block(1, name) if name else b"") + number(2, STRING if words else INT64) +
            b"".join(block(4, k) if words else number(3, k) for k in entries) + block(5, values))


def external(dtype, dims, name, location, offset, length):
    """A TensorProto whose elements lie in another file."""
    entries = [("location", location), ("offset", str(offset)), ("length", str(length))]
    return (b"".join(number(1, d) for d in dims) + number(2, dtype) + block(8, name) +
            b"".join(block(13, block(1, k) + block(2, v)) for k, v in entries) + number(14, 1))


def npy(dtype, dims, values, order="C"):
    shape = "(" + ", ".join(map(str, dims)) + ("," if len(dims) == 1 else "") + ")"
    head = f"{{'descr': '{NPY[dtype]}', 'fortran_order': {order == 'F'}, 'shape': {shape}, }}"
    head += " " * (-(len(head) + 11) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode() + elements(dtype, values)


def read_npy(data):
    """(descr, dims, flat values) of a file that this module or Infer wrote."""
    size = struct.unpack("<H", data[8:10])[0]
    head = eval(data[10:10 + size].decode(), {"__builtins__": {}})
    kind = {v: PACK[k] for k, v in NPY.items()}[head["descr"]]
    count = 1
    for d in head["shape"]:
        count *= d
    return head["descr"], head["shape"], list(struct.unpack_from(f"<{count}{kind}", data, 10 + size))


# ---- graphs ---------------------------------------------------------------------------------------

def attribute(name, value):
    """Ints, floats, text, messages (a tensor; a graph as ("graph", bytes)) and lists of numbers or text."""
    out = block(1, name)
    if isinstance(value, bool) or isinstance(value, int):
        return out + number(3, int(value)) + number(20, 2)
    if isinstance(value, float):
        return out + real(2, value) + number(20, 1)
    if isinstance(value, str):
        return out + block(4, value) + number(20, 3)
    if isinstance(value, bytes):
        return out + block(5, value) + number(20, 4)
    if isinstance(value, tuple):
        return out + block(6, value[1]) + number(20, 5)
    if value and isinstance(value[0], float):
        return out + b"".join(real(7, x) for x in value) + number(20, 6)
    if value and isinstance(value[0], str):
        return out + b"".join(block(9, x) for x in value) + number(20, 8)
    return out + b"".join(number(8, x) for x in value) + number(20, 7)


def node(op, inputs, outputs, domain="", name="", **attributes):
    return (b"".join(block(1, x) for x in inputs) + b"".join(block(2, x) for x in outputs) +
            (block(3, name) if name else b"") + block(4, op) +
            b"".join(block(5, attribute(k, v)) for k, v in attributes.items()) +
            (block(7, domain) if domain else b""))


def tensor_type(dtype, dims):
    shape = b"".join(block(1, number(1, d) if isinstance(d, int) else block(2, d)) for d in dims or [])
    return block(1, number(1, dtype) + (block(2, shape) if dims is not None else b""))


def sequence_type(dtype, dims=None):
    return block(4, block(1, tensor_type(dtype, dims)))


def sequence_of(elem):
    return block(4, block(1, elem))


def map_type(key, elem):
    return block(5, number(1, key) + block(2, elem))


def optional_type(elem):
    return block(9, block(1, elem))


def info(name, dtype, dims):
    """dims of numbers and names; None: unknown rank."""
    return block(1, name) + block(2, tensor_type(dtype, dims))


def info_of(name, type_):
    return block(1, name) + block(2, type_)


def graph(nodes, inputs, outputs, initializers=(), name="g"):
    return (b"".join(block(1, n) for n in nodes) + block(2, name) +
            b"".join(block(5, t) for t in initializers) + b"".join(block(11, i) for i in inputs) +
            b"".join(block(12, o) for o in outputs))


def function(name, domain, inputs, outputs, nodes, opset=17):
    return (block(1, name) + b"".join(block(4, x) for x in inputs) +
            b"".join(block(5, x) for x in outputs) + b"".join(block(7, n) for n in nodes) +
            block(9, number(2, opset)) + block(10, domain))


def model(graph_, opset=17, ir=9, domains=(), functions=(), metadata=()):
    return (number(1, ir) + block(2, "infer tests") + block(7, graph_) + block(8, number(2, opset)) +
            b"".join(block(8, block(1, d) + number(2, 1)) for d in domains) +
            b"".join(block(14, block(1, k) + block(2, v)) for k, v in metadata) +
            b"".join(block(25, f) for f in functions))
