# SPDX-License-Identifier: Apache-2.0
"""numpy arrays, lists and dicts to the library's values and back.

A tensor is an array (strings: an array of objects), a sequence a list, a map a dict, an empty optional None.
Elements are shared where numpy has the type; bfloat16, float8 and narrower ones are ml_dtypes' if that package
is there, else their bits in unsigned integers.
"""
import ctypes
import itertools
import weakref

import numpy as np

from infer import _library as c
from infer._errors import InvalidArgument

STRING = 8
# Numbers of ONNX's TensorProto.DataType.
_NUMPY = {1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 9: "bool",
          10: "float16", 11: "float64", 12: "uint32", 13: "uint64", 14: "complex64", 15: "complex128"}
_EXTRA = {16: ("bfloat16", "uint16"), 17: ("float8_e4m3fn", "uint8"), 18: ("float8_e4m3fnuz", "uint8"),
          19: ("float8_e5m2", "uint8"), 20: ("float8_e5m2fnuz", "uint8"), 21: ("uint4", "uint8"),
          22: ("int4", "int8"), 23: ("float4_e2m1fn", "uint8"), 24: ("float8_e8m0fnu", "uint8"),
          25: ("uint2", "uint8"), 26: ("int2", "int8")}
_SIGNED_NARROW = (22, 26)
TO_NUMPY = {k: np.dtype(v) for k, v in _NUMPY.items()}
try:
    import ml_dtypes
    TO_NUMPY.update({k: np.dtype(getattr(ml_dtypes, v)) for k, (v, _) in _EXTRA.items() if hasattr(ml_dtypes, v)})
except ImportError:
    pass
FROM_NUMPY = {v: k for k, v in TO_NUMPY.items()}
for _k, (_, _v) in _EXTRA.items():
    TO_NUMPY.setdefault(_k, np.dtype(_v))


def type_name(number):
    return c.lib.infer_type_name(number).decode()


class Handle:
    """Owns one struct infer_value."""

    def __init__(self, pointer):
        self.pointer = pointer
        self._end = weakref.finalize(self, c.lib.infer_value_free, pointer)
        self._end.atexit = False


# What the library may still read, by the number that it was given for it.
_held = {}
_numbers = itertools.count(1)


@c.RELEASE
def _release(number):
    _held.pop(number, None)


def type_of(array):
    if array.dtype.kind in "OUS":
        return STRING
    number = FROM_NUMPY.get(array.dtype)
    if number is None:
        raise InvalidArgument(f"no tensor has elements of numpy type {array.dtype}", -4)
    return number


def _dims(array):
    return (ctypes.c_int64 * max(array.ndim, 1))(*array.shape)


def _strings(array):
    handle = Handle(c.check("infer_value_new", STRING, array.ndim, _dims(array)))
    for i, s in enumerate(array.flat):
        s = s if isinstance(s, bytes) else str(s).encode(errors="surrogateescape")
        c.check("infer_value_set_string", handle.pointer, i, s, len(s))
    return handle


def from_array(array):
    """A tensor that shares the array's memory if it is contiguous."""
    if array.ndim > c.RANK_MAX:
        raise InvalidArgument(f"an array of {array.ndim} dims, at most {c.RANK_MAX} are supported", -4)
    number = type_of(array)
    if number == STRING:
        return _strings(array)
    if number in _SIGNED_NARROW:
        array = array.astype(np.int8)  # those of ml_dtypes do not carry their sign to the whole byte
    array = np.require(array, requirements="CA")
    key = next(_numbers)
    _held[key] = array
    try:
        return Handle(c.check("infer_value_wrap", number, array.ndim, _dims(array), array.ctypes.data, array.nbytes,
                              _release, key))
    except BaseException:
        _held.pop(key, None)
        raise


def _sequence(items, number):
    handles = [from_python(x) for x in items]
    if handles and c.lib.infer_value_kind(handles[0].pointer) == c.TENSOR:
        number = c.lib.infer_value_type(handles[0].pointer)
    sequence = Handle(c.check("infer_value_sequence", number))
    for h in handles:
        c.check("infer_value_append", sequence.pointer, h.pointer)
    return sequence


def from_python(value, number=1, dtype=None):
    """number: of an empty sequence's elements; dtype: of what is not an array yet."""
    if isinstance(value, OrtValue):
        return value.handle
    if value is None:
        return Handle(c.check("infer_value_none"))
    if isinstance(value, np.ndarray):
        return from_array(value)
    if isinstance(value, dict):
        return _map(value)
    if isinstance(value, (list, tuple)) and dtype is None:
        return _sequence(value, number)
    return from_array(np.asarray(value, dtype))


def _map(value):
    keys = np.array(list(value), dtype=object if any(isinstance(k, str) for k in value) else np.int64)
    values = np.array(list(value.values()))
    values = values.astype(np.float32) if values.dtype == np.float64 else values
    k, v = from_array(keys), from_array(values)
    return Handle(c.check("infer_value_map", k.pointer, v.pointer))


def _array(handle):
    p = handle.pointer
    number, rank = c.lib.infer_value_type(p), c.lib.infer_value_rank(p)
    shape = tuple(c.lib.infer_value_dims(p)[i] for i in range(rank))
    if number == STRING:
        out, size = np.empty(c.lib.infer_value_count(p), object), ctypes.c_size_t()
        for i in range(len(out)):
            at = c.lib.infer_value_string(p, i, ctypes.byref(size))
            out[i] = ctypes.string_at(at, size.value).decode(errors="surrogateescape") if size.value else ""
        return out.reshape(shape)
    size = c.lib.infer_value_bytes(p)
    if size == 0:
        return np.empty(shape, TO_NUMPY[number])
    memory = (ctypes.c_uint8 * size).from_address(c.lib.infer_value_data(p))
    memory.handle = handle  # the array keeps the memory object, and that the value
    return np.frombuffer(memory, TO_NUMPY[number]).reshape(shape)


def to_python(handle):
    p = handle.pointer
    kind = c.lib.infer_value_kind(p)
    if kind == c.TENSOR:
        return _array(handle)
    if kind == c.NONE:
        return None
    if kind == c.MAP:
        keys, values = (to_python(Handle(c.check("infer_value_item", p, i))) for i in (0, 1))
        keys = keys.tolist()
        return dict(zip(keys, values.tolist() if isinstance(values, np.ndarray) else values))
    return [to_python(Handle(c.check("infer_value_item", p, i))) for i in range(c.lib.infer_value_count(p))]


class OrtValue:
    """A value that stays where it is between runs, under the name that users know."""

    def __init__(self, handle):
        self.handle = handle

    @staticmethod
    def ortvalue_from_numpy(array, device_type="cpu", device_id=0):
        return OrtValue(from_python(array))

    @staticmethod
    def ortvalue_from_shape_and_type(shape, element_type, device_type="cpu", device_id=0):
        number = element_type if isinstance(element_type, int) else FROM_NUMPY[np.dtype(element_type)]
        dims = (ctypes.c_int64 * max(len(shape), 1))(*shape)
        return OrtValue(Handle(c.check("infer_value_new", number, len(shape), dims)))

    def numpy(self):
        return to_python(self.handle)

    def shape(self):
        p = self.handle.pointer
        return [c.lib.infer_value_dims(p)[i] for i in range(c.lib.infer_value_rank(p))]

    def element_type(self):
        return c.lib.infer_value_type(self.handle.pointer)

    def data_type(self):
        name = type_name(self.element_type())
        return f"seq(tensor({name}))" if self.is_tensor_sequence() else f"tensor({name})"

    def data_ptr(self):
        return c.lib.infer_value_data(self.handle.pointer)

    def tensor_size_in_bytes(self):
        return c.lib.infer_value_bytes(self.handle.pointer)

    def device_name(self):
        return "cpu"

    def has_value(self):
        return c.lib.infer_value_kind(self.handle.pointer) != c.NONE

    def is_tensor(self):
        return c.lib.infer_value_kind(self.handle.pointer) == c.TENSOR

    def is_tensor_sequence(self):
        return c.lib.infer_value_kind(self.handle.pointer) == c.SEQUENCE

    def is_sparse_tensor(self):
        return False

    def update_inplace(self, array):
        """Copy the array's elements into this tensor."""
        mine = self.numpy()
        if mine.dtype != array.dtype or mine.shape != array.shape:
            raise InvalidArgument(f"expected {mine.dtype}{list(mine.shape)}, not {array.dtype}{list(array.shape)}", -4)
        mine.flags.writeable = True
        np.copyto(mine, array)
