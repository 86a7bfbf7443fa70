# SPDX-License-Identifier: Apache-2.0
"""The library's error codes as exceptions."""


class InferError(RuntimeError):
    """What the library says: one line that names what was expected. code is infer.h's."""

    def __init__(self, message, code=-12):
        super().__init__(message)
        self.code = code


class Fail(InferError):
    pass


class InvalidArgument(InferError, ValueError):
    """A name, type, shape, content or option is wrong."""


class NoSuchFile(InferError, OSError):
    pass


class InvalidGraph(InferError):
    """The model breaks ONNX's rules."""


class NotImplemented(InferError, NotImplementedError):  # noqa: A001: the name that users know
    pass


class OutOfMemory(InferError, MemoryError):
    """Memory ran out, or a limit on it or on a model's size was met."""


class DeadlineExceeded(InferError, TimeoutError):
    pass


class Cancelled(InferError):
    pass


KINDS = {-2: InvalidArgument, -3: InvalidGraph, -4: InvalidArgument, -5: NoSuchFile, -6: NotImplemented,
         -7: NotImplemented, -8: OutOfMemory, -9: OutOfMemory, -10: DeadlineExceeded, -11: Cancelled}
