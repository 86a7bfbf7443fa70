# SPDX-License-Identifier: Apache-2.0
"""infer.h through ctypes: structures, prototypes, and errors as exceptions.

The library is, in this order: what INFER_LIBRARY names, the one inside the package, the installed one, and the
one of a build folder beside the package's source.
"""
import ctypes
import ctypes.util
import os
import pathlib
from ctypes import POINTER, Structure, byref, c_char_p, c_int, c_int64, c_size_t, c_void_p

from infer._errors import KINDS, Fail

RANK_MAX = 12
NONE, TENSOR, SEQUENCE, MAP = range(4)  # enum infer_kind
RELEASE = ctypes.CFUNCTYPE(None, c_void_p)
DONE = ctypes.CFUNCTYPE(None, c_void_p, c_void_p)


class Error(Structure):
    _fields_ = [("code", c_int), ("message", ctypes.c_char * 640)]


class LoadOptions(Structure):
    _fields_ = [("size", c_size_t), ("threads", c_int), ("device", c_char_p), ("precision", c_char_p),
                ("passes", c_char_p), ("in_memory", c_int), ("check", c_int), ("folder", c_char_p),
                ("timeout_ms", c_int)]


class SaveOptions(Structure):
    _fields_ = [("size", c_size_t), ("external_data", c_int)]


class RunOptions(Structure):
    _fields_ = [("size", c_size_t), ("timeout_ms", c_int), ("cancel", c_void_p), ("state", c_void_p),
                ("trace", c_void_p)]


class Port(Structure):
    _fields_ = [("name", c_char_p), ("kind", c_int), ("optional", c_int), ("type", c_int), ("rank", c_int),
                ("dims", c_int64 * RANK_MAX), ("symbols", c_char_p * RANK_MAX), ("text", c_char_p)]


def _find():
    here = pathlib.Path(__file__).resolve().parent
    places = [os.environ.get("INFER_LIBRARY"), here / "libinfer.so", ctypes.util.find_library("infer"),
              here.parent.parent / "build" / "runtime" / "libinfer.so"]
    tried = []
    for place in filter(None, places):
        if os.sep in str(place) and not pathlib.Path(place).exists():
            tried.append(str(place))
            continue
        return ctypes.CDLL(str(place))
    raise ImportError(f"libinfer.so is not installed (looked in {', '.join(tried)}); INFER_LIBRARY names it")


lib = _find()

# name: (result, arguments without the error, does the error come last)
_PROTOTYPES = {
    "infer_version": (c_char_p, [], False),
    "infer_free": (None, [c_void_p], False),
    "infer_set_option": (c_int, [c_char_p, c_char_p], True),
    "infer_type_name": (c_char_p, [c_int], False),
    "infer_type_size": (c_size_t, [c_int], False),
    "infer_value_new": (c_void_p, [c_int, c_int, POINTER(c_int64)], True),
    "infer_value_wrap": (c_void_p, [c_int, c_int, POINTER(c_int64), c_void_p, c_size_t, RELEASE, c_void_p], True),
    "infer_value_none": (c_void_p, [], True),
    "infer_value_sequence": (c_void_p, [c_int], True),
    "infer_value_append": (c_int, [c_void_p, c_void_p], True),
    "infer_value_map": (c_void_p, [c_void_p, c_void_p], True),
    "infer_value_free": (None, [c_void_p], False),
    "infer_value_kind": (c_int, [c_void_p], False),
    "infer_value_type": (c_int, [c_void_p], False),
    "infer_value_rank": (c_int, [c_void_p], False),
    "infer_value_dims": (POINTER(c_int64), [c_void_p], False),
    "infer_value_count": (c_int64, [c_void_p], False),
    "infer_value_data": (c_void_p, [c_void_p], False),
    "infer_value_bytes": (c_size_t, [c_void_p], False),
    "infer_value_item": (c_void_p, [c_void_p, c_int64], True),
    "infer_value_string": (c_void_p, [c_void_p, c_int64, POINTER(c_size_t)], False),
    "infer_value_set_string": (c_int, [c_void_p, c_int64, c_char_p, c_size_t], True),
    "infer_model_load": (c_void_p, [c_char_p, POINTER(LoadOptions)], True),
    "infer_model_load_memory": (c_void_p, [c_void_p, c_size_t, POINTER(LoadOptions)], True),
    "infer_model_free": (None, [c_void_p], False),
    "infer_model_inputs": (c_int, [c_void_p], False),
    "infer_model_outputs": (c_int, [c_void_p], False),
    "infer_model_input": (POINTER(Port), [c_void_p, c_int], False),
    "infer_model_output": (POINTER(Port), [c_void_p, c_int], False),
    "infer_model_metadata": (c_char_p, [c_void_p, c_char_p, c_int], False),
    "infer_model_text": (c_void_p, [c_void_p, c_char_p], True),
    "infer_model_save": (c_int, [c_void_p, c_char_p, POINTER(SaveOptions)], True),
    "infer_cancel_new": (c_void_p, [], True),
    "infer_cancel_set": (None, [c_void_p], False),
    "infer_cancel_free": (None, [c_void_p], False),
    "infer_run": (c_int, [c_void_p, POINTER(c_void_p), c_int, POINTER(c_void_p), c_int, POINTER(RunOptions)], True),
    "infer_trace_new": (c_void_p, [], True),
    "infer_trace_write": (c_int, [c_void_p, c_char_p], True),
    "infer_trace_free": (None, [c_void_p], False),
}
for _name, (_result, _arguments, _error) in _PROTOTYPES.items():
    _function = getattr(lib, _name)
    _function.restype = _result
    _function.argtypes = _arguments + ([POINTER(Error)] if _error else [])


def check(name, *arguments):
    """Call a function that fails with a negative number or NULL; raise what it says."""
    error = Error()
    result = getattr(lib, name)(*arguments, byref(error))
    if result is None or (_PROTOTYPES[name][0] is c_int and result < 0):
        raise KINDS.get(error.code, Fail)(error.message.decode(errors="replace"), error.code)
    return result


def version():
    return lib.infer_version().decode()
