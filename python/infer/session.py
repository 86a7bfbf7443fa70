# SPDX-License-Identifier: Apache-2.0
"""A loaded model and how it is run, with onnxruntime's names and meanings."""
import ctypes
import enum
import os
import re
import threading
import time
import weakref

import numpy as np

from infer import _library as c
from infer import values
from infer._errors import InvalidArgument
from infer.values import Handle, OrtValue


class GraphOptimizationLevel(enum.IntEnum):
    """ORT_DISABLE_ALL runs the graph as the file has it; all others mean every pass."""
    ORT_DISABLE_ALL = 0
    ORT_ENABLE_BASIC = 1
    ORT_ENABLE_EXTENDED = 2
    ORT_ENABLE_LAYOUT = 3
    ORT_ENABLE_ALL = 99


class ExecutionMode(enum.IntEnum):
    ORT_SEQUENTIAL = 0
    ORT_PARALLEL = 1


class SessionOptions:
    """What has a meaning here: intra_op_num_threads, graph_optimization_level, optimized_model_filepath,
    enable_profiling with profile_file_prefix, add_free_dimension_override_by_name, and as config entries
    "infer.passes" (as infer-run --passes), "infer.load_timeout_ms", "infer.in_memory". The other fields of
    onnxruntime are kept and have no effect."""

    def __init__(self):
        self.intra_op_num_threads = 0
        self.inter_op_num_threads = 0
        self.graph_optimization_level = GraphOptimizationLevel.ORT_ENABLE_ALL
        self.execution_mode = ExecutionMode.ORT_SEQUENTIAL
        self.optimized_model_filepath = ""
        self.enable_profiling = False
        self.profile_file_prefix = "infer_profile_"
        self.enable_cpu_mem_arena = self.enable_mem_pattern = self.enable_mem_reuse = True
        self.use_deterministic_compute = True
        self.log_severity_level = 2
        self.log_verbosity_level = 0
        self.logid = ""
        self._entries = {}
        self._dims = {}

    def add_session_config_entry(self, key, value):
        self._entries[key] = value

    def get_session_config_entry(self, key):
        if key not in self._entries:
            raise InvalidArgument(f"there is no config entry '{key}'", -2)
        return self._entries[key]

    def add_free_dimension_override_by_name(self, name, value):
        """The symbolic dim of this name has this value: inputs of another are refused."""
        self._dims[name] = value


class RunOptions:
    """terminate = True, from any thread, ends the runs that were given this. timeout_ms: 0 is none."""

    def __init__(self):
        self._cancel = c.check("infer_cancel_new")
        weakref.finalize(self, c.lib.infer_cancel_free, self._cancel).atexit = False
        self._terminate = False
        self.timeout_ms = 0
        self.logid = ""
        self.log_severity_level = 2
        self.log_verbosity_level = 0

    @property
    def terminate(self):
        return self._terminate

    @terminate.setter
    def terminate(self, on):
        if self._terminate and not on:
            raise InvalidArgument("a flag that ended runs cannot be taken back: make new RunOptions", -2)
        self._terminate = bool(on)
        if on:
            c.lib.infer_cancel_set(self._cancel)

    def add_run_config_entry(self, key, value):
        """Accepted for compatibility."""


class NodeArg:
    """name, type ("tensor(float)", "seq(tensor(int64))", ...) and shape: numbers, names, None where unknown."""

    def __init__(self, port, overrides):
        self.name = port.name.decode()
        self._number = port.type
        self._kind = port.kind
        self._optional = bool(port.optional)
        self.type = re.sub(r"sequence\(", "seq(", re.sub(r"(\w+)(\[[^\]]*\])", r"tensor(\1)", port.text.decode()))
        if "tensor(" not in self.type:
            self.type = re.sub(r"\b(float|double|u?int\d+|string|bool|float16|bfloat16)\b(?=\)*$)", r"tensor(\1)", self.type)
        self.shape = []
        for k in range(max(port.rank, 0)):
            symbol = (port.symbols[k] or b"").decode() or None
            self.shape.append(port.dims[k] if port.dims[k] >= 0 else overrides.get(symbol, symbol))

    def __repr__(self):
        return f"NodeArg(name='{self.name}', type='{self.type}', shape={self.shape})"


class ModelMetadata:
    def __init__(self, model):
        def ask(key):
            return (c.lib.infer_model_metadata(model, key, 0) or b"").decode(errors="replace")
        self.producer_name, self.domain, self.description = ask(b"producer"), ask(b"domain"), ask(b"doc")
        self.graph_name, self.graph_description = ask(b"graph"), ""
        self.version = int(ask(b"model_version") or 0)
        self.custom_metadata_map, i = {}, 0
        while True:
            key = c.lib.infer_model_metadata(model, None, i)
            if key is None:
                break
            self.custom_metadata_map[key.decode(errors="replace")] = ask(key)
            i += 1


class IOBinding:
    """Inputs and outputs that are set once and used by every run_with_iobinding. A bound output array is
    written into."""

    def __init__(self, session):
        self._session = session
        self._inputs, self._outputs, self._results = {}, {}, {}

    def bind_cpu_input(self, name, array):
        self._session._input(name)
        self._inputs[name] = values.from_python(array)

    def bind_ortvalue_input(self, name, value):
        self._session._input(name)
        self._inputs[name] = value.handle

    def _borrow(self, element_type, shape, pointer):
        number = element_type if isinstance(element_type, int) else values.FROM_NUMPY[np.dtype(element_type)]
        dims = (ctypes.c_int64 * max(len(shape), 1))(*shape)
        size = int(np.prod(shape, dtype=np.int64)) * c.lib.infer_type_size(number)
        return Handle(c.check("infer_value_wrap", number, len(shape), dims, pointer, size, c.RELEASE(), None))

    def bind_input(self, name, device_type, device_id, element_type, shape, buffer_ptr):
        """Memory of the caller's, which must stay until the binding is cleared."""
        self._session._input(name)
        self._inputs[name] = self._borrow(element_type, shape, buffer_ptr)

    def bind_output(self, name, device_type="cpu", device_id=0, element_type=None, shape=None, buffer_ptr=None):
        self._session._output(name)
        self._outputs[name] = self._borrow(element_type, shape, buffer_ptr) if buffer_ptr is not None else None

    def bind_ortvalue_output(self, name, value):
        self._session._output(name)
        self._outputs[name] = value.handle

    def clear_binding_inputs(self):
        self._inputs = {}

    def clear_binding_outputs(self):
        self._outputs, self._results = {}, {}

    def synchronize_inputs(self):
        """The CPU has nothing to wait for."""

    synchronize_outputs = synchronize_inputs

    def get_outputs(self):
        return [OrtValue(self._results[n]) for n in self._outputs]

    def copy_outputs_to_cpu(self):
        return [values.to_python(self._results[n]) for n in self._outputs]


def _load_options(options, device):
    o = c.LoadOptions(size=ctypes.sizeof(c.LoadOptions), threads=int(options.intra_op_num_threads))
    passes = options._entries.get("infer.passes")
    if passes is None and options.graph_optimization_level == GraphOptimizationLevel.ORT_DISABLE_ALL:
        passes = "none"
    o.passes = passes.encode() if passes is not None else None
    o.device = device.encode() if device else None
    o.timeout_ms = int(options._entries.get("infer.load_timeout_ms", 0))
    o.in_memory = int(options._entries.get("infer.in_memory", 0))
    return o


class InferenceSession:
    """A model, loaded from a path or from bytes (which the session keeps)."""

    def __init__(self, path_or_bytes, sess_options=None, providers=None, provider_options=None, **kwargs):
        self._options = sess_options or SessionOptions()
        self._device = kwargs.pop("device", None)
        self._providers = ["CPUExecutionProvider"]
        for p in providers or []:
            name = p[0] if isinstance(p, tuple) else p
            if name not in ("CPUExecutionProvider", "CUDAExecutionProvider", "InferExecutionProvider"):
                raise InvalidArgument(f"there is no provider '{name}', expected CPUExecutionProvider", -2)
        o = _load_options(self._options, self._device)
        if isinstance(path_or_bytes, (bytes, bytearray, memoryview)):
            self._bytes = np.frombuffer(path_or_bytes, np.uint8)
            self._model = c.check("infer_model_load_memory", self._bytes.ctypes.data, self._bytes.nbytes, ctypes.byref(o))
        else:
            path = os.fspath(path_or_bytes)
            self._model = c.check("infer_model_load", os.fsencode(path), ctypes.byref(o))
        self._end = weakref.finalize(self, c.lib.infer_model_free, self._model)
        dims = self._options._dims
        self._inputs = [NodeArg(c.lib.infer_model_input(self._model, i).contents, dims)
                        for i in range(c.lib.infer_model_inputs(self._model))]
        self._outputs = [NodeArg(c.lib.infer_model_output(self._model, i).contents, dims)
                         for i in range(c.lib.infer_model_outputs(self._model))]
        if self._options.optimized_model_filepath:
            c.check("infer_model_save", self._model, os.fsencode(self._options.optimized_model_filepath), None)
        self._trace = c.check("infer_trace_new") if self._options.enable_profiling else None
        self._start = time.time_ns()

    # What the model is.

    def get_inputs(self):
        return list(self._inputs)

    def get_outputs(self):
        return list(self._outputs)

    def get_overridable_initializers(self):
        return []

    def get_modelmeta(self):
        return ModelMetadata(self._model)

    def get_session_options(self):
        return self._options

    def get_providers(self):
        return list(self._providers)

    def get_provider_options(self):
        return {p: {} for p in self._providers}

    def text(self, what):
        """A report: describe, check, graph, dot, passes or placement."""
        p = c.check("infer_model_text", self._model, what.encode())
        try:
            return ctypes.string_at(p).decode(errors="replace")
        finally:
            c.lib.infer_free(p)

    def _input(self, name):
        for a in self._inputs:
            if a.name == name:
                return a
        raise InvalidArgument(f"there is no input '{name}', the model's are {[a.name for a in self._inputs]}", -4)

    def _output(self, name):
        for i, a in enumerate(self._outputs):
            if a.name == name:
                return i
        raise InvalidArgument(f"there is no output '{name}', the model's are {[a.name for a in self._outputs]}", -4)

    # Running.

    def _check_dims(self, argument, value):
        if self._options._dims and isinstance(value, np.ndarray) and value.ndim == len(argument.shape):
            for k, d in enumerate(argument.shape):
                if isinstance(d, int) and value.shape[k] != d:
                    raise InvalidArgument(f"input '{argument.name}': dim {k} is {value.shape[k]}, expected {d}", -4)

    def _handles(self, feed):
        for name in feed:
            self._input(name)
        for a in self._inputs:
            if a.name not in feed:
                if a._optional:
                    yield values.from_python(None)
                    continue
                raise InvalidArgument(f"input '{a.name}' is missing, expected {a.type}{a.shape}", -4)
            value = feed[a.name]
            self._check_dims(a, value)
            plain = a._kind == c.TENSOR and not isinstance(value, (np.ndarray, OrtValue)) and value is not None
            dtype = (object if a._number == values.STRING else values.TO_NUMPY.get(a._number)) if plain else None
            yield values.from_python(value, a._number, dtype)

    def _run(self, inputs, outputs, run_options):
        """Handles in the model's order in; handles out, bound ones where `outputs` has them."""
        n_in, n_out = len(self._inputs), len(self._outputs)
        ins = (ctypes.c_void_p * max(n_in, 1))(*[h.pointer for h in inputs])
        outs = (ctypes.c_void_p * max(n_out, 1))(*[outputs[i].pointer if outputs.get(i) else None for i in range(n_out)])
        o = c.RunOptions(size=ctypes.sizeof(c.RunOptions), trace=self._trace)
        if run_options is not None:
            o.timeout_ms, o.cancel = int(run_options.timeout_ms), run_options._cancel
        bound = [outputs.get(i) for i in range(n_out)]
        try:
            c.check("infer_run", self._model, ins, n_in, outs, n_out, ctypes.byref(o))
        except BaseException:
            for b, p in zip(bound, outs):
                if b is None and p:
                    c.lib.infer_value_free(p)
            raise
        return [b or Handle(p) for b, p in zip(bound, outs)]

    def _wanted(self, names):
        return range(len(self._outputs)) if not names else [self._output(n) for n in names]

    def run(self, output_names, input_feed, run_options=None):
        """The outputs of these names (None: all) as arrays, lists and dicts."""
        wanted = self._wanted(output_names)
        results = self._run(list(self._handles(input_feed)), {}, run_options)
        return [values.to_python(results[i]) for i in wanted]

    def run_with_ort_values(self, output_names, input_dict_ort_values, run_options=None):
        wanted = self._wanted(output_names)
        results = self._run(list(self._handles(input_dict_ort_values)), {}, run_options)
        return [OrtValue(results[i]) for i in wanted]

    def run_async(self, output_names, input_feed, callback, user_data, run_options=None):
        """callback(results, user_data, error text) is called on another thread."""
        def work():
            try:
                results, error = self.run(output_names, input_feed, run_options), ""
            except Exception as e:  # noqa: BLE001: it goes to the callback
                results, error = [], str(e)
            callback(results, user_data, error)
        threading.Thread(target=work, daemon=True).start()

    def io_binding(self):
        return IOBinding(self)

    def run_with_iobinding(self, iobinding, run_options=None):
        b = iobinding
        missing = [a for a in self._inputs if a.name not in b._inputs and not a._optional]
        if missing:
            raise InvalidArgument(f"input '{missing[0].name}' is not bound", -4)
        inputs = [b._inputs.get(a.name) or values.from_python(None) for a in self._inputs]
        given = {self._output(n): h for n, h in b._outputs.items() if h is not None}
        results = self._run(inputs, given, run_options)
        b._results = {a.name: r for a, r in zip(self._outputs, results)}

    # Profiling.

    def get_profiling_start_time_ns(self):
        return self._start

    def end_profiling(self):
        """Write what ran as a Chrome trace; the file's name."""
        if self._trace is None:
            return ""
        name = f"{self._options.profile_file_prefix}{time.strftime('%Y-%m-%d_%H-%M-%S')}.json"
        try:
            c.check("infer_trace_write", self._trace, os.fsencode(name))
        finally:
            c.lib.infer_trace_free(self._trace)
            self._trace = None
        return name
