# SPDX-License-Identifier: Apache-2.0
"""Infer, a tensor runtime and ONNX engine.

    import infer
    session = infer.InferenceSession("model.onnx")
    scores, = session.run(None, {"x": array})

The names and meanings are those that users of onnxruntime know. Arrays go in and come out without being
copied: an input must not change while a run reads it, and an output lives as long as an array refers to it.
A session may be used by several threads at once. Errors are InferError and its kinds.
"""
from infer._errors import (Cancelled, DeadlineExceeded, Fail, InferError, InvalidArgument, InvalidGraph,  # noqa: F401
                           NoSuchFile, NotImplemented, OutOfMemory)
from infer._library import version as _version
from infer.session import (ExecutionMode, GraphOptimizationLevel, InferenceSession, IOBinding, ModelMetadata,  # noqa: F401
                           NodeArg, RunOptions, SessionOptions)
from infer.values import OrtValue  # noqa: F401

__version__ = _version()


def get_available_providers():
    return ["CPUExecutionProvider"]


def get_device():
    return "CPU"


def set_default_logger_severity(severity):
    """Accepted for compatibility: the library never prints."""
