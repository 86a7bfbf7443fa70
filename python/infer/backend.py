# SPDX-License-Identifier: Apache-2.0
"""ONNX's backend interface: infer.backend is a backend for onnx.backend.test.BackendTest and its like."""
import onnx
from onnx.backend.base import Backend, BackendRep

from infer.session import InferenceSession, SessionOptions


class InferBackendRep(BackendRep):
    def __init__(self, session):
        self._session = session

    def run(self, inputs, **kwargs):
        """Inputs in the model's order, or by name; outputs in the model's order."""
        if not isinstance(inputs, dict):
            inputs = inputs if isinstance(inputs, (list, tuple)) else [inputs]
            inputs = {a.name: x for a, x in zip(self._session.get_inputs(), inputs)}
        return self._session.run(None, inputs)


class InferBackend(Backend):
    @classmethod
    def is_compatible(cls, model, device="CPU", **kwargs):
        return cls.supports_device(device)

    @classmethod
    def supports_device(cls, device):
        return device.split(":")[0] == "CPU"

    @classmethod
    def prepare(cls, model, device="CPU", **kwargs):
        """A model as onnx.ModelProto, bytes or a path."""
        if not cls.supports_device(device):
            raise ValueError(f"there is no device '{device}', expected CPU")
        if isinstance(model, onnx.ModelProto):
            model = model.SerializeToString()
        options = kwargs.get("sess_options") or SessionOptions()
        return InferBackendRep(InferenceSession(model, options))

    @classmethod
    def run_model(cls, model, inputs, device="CPU", **kwargs):
        return cls.prepare(model, device, **kwargs).run(inputs)

    @classmethod
    def run_node(cls, node, inputs, device="CPU", outputs_info=None, **kwargs):
        """A model of one node, whose types are those of the inputs and of outputs_info [(dtype, shape)]."""
        from onnx import helper
        import numpy as np
        present = [n for n in node.input if n]
        arrays = [np.asarray(x) for x in inputs]
        ins = [helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(x.dtype), x.shape)
               for n, x in zip(present, arrays)]
        infos = outputs_info or [(arrays[0].dtype, None)] * len(node.output)
        outs = [helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(np.dtype(t)), s)
                for n, (t, s) in zip(node.output, infos)]
        opset = helper.make_opsetid(node.domain, kwargs.get("opset_version", onnx.defs.onnx_opset_version()))
        model = helper.make_model(helper.make_graph([node], "node", ins, outs), opset_imports=[opset])
        return cls.run_model(model, dict(zip(present, arrays)), device)


is_compatible = InferBackend.is_compatible
prepare = InferBackend.prepare
run_model = InferBackend.run_model
run_node = InferBackend.run_node
supports_device = InferBackend.supports_device
