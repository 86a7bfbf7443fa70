# SPDX-License-Identifier: Apache-2.0
"""Operators of ai.onnx: attributes and shapes that must be refused, at load where dims are numbers, else when run.

A row is (word, inputs, attributes); an input is "2x3" (floats of these dims; "" is a scalar), a list (int64), a
tuple (float32), an array, or None. The tables below have one entry an operator: (opset, rows, other arguments).
"""
import math

import numpy as np
from onnx import TensorProto, helper

from peers import case

I64, F32, F16, BOOL = TensorProto.INT64, TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BOOL


def texts(*words):
    return np.array(words, dtype=object)


def byte(*dims):
    return np.ones(dims, np.uint8)


def array(x):
    if isinstance(x, str):
        dims = [int(d) for d in x.split("x")] if x else []
        return (np.arange(math.prod(dims), dtype=np.float32) % 7 / 4 + 1).reshape(dims)
    if isinstance(x, list):
        return np.array(x, np.int64)
    return np.array(x, np.float32) if isinstance(x, tuple) else x


SHAPES = {
    "AffineGrid": (20, [
        ("theta_rank", ["2x3", [2, 1, 4, 4]], {}),
        ("size", ["2x2x3", [2, 1, 4]], {}),
        ("theta_dims", ["2x2x3", [2, 1, 4, 4, 4]], {}),
        ("batch", ["2x2x3", [3, 1, 4, 4]], {})], {}),
    "Concat": (13, [
        ("dims", ["2x3", "2x4"], {"axis": 0}),
        ("ranks", ["2x3", "2x3x1"], {"axis": 0}),
        ("axis", ["2x3", "2x3"], {"axis": 2}),
        ("types", ["2x3", [[1, 2, 3]]], {"axis": 0})], {}),
    "ConstantOfShape": (20, [
        ("rank", [[[1, 2]]], {}),
        ("negative", [[-1, 2]], {}),
        ("dims", [[1] * 40], {})], {"types": [F32]}),
    "Expand": (13, [
        ("dims", ["2x1x3", [2, 2, 4]], {}),
        ("negative", ["2x1x3", [2, -2, 3]], {}),
        ("rank", ["2x3", [[2, 3]]], {})], {}),
    "Tile": (13, [("count", ["2x3", [2]], {}), ("negative", ["2x3", [2, -1]], {})], {}),
    "EyeLike": (9, [("rank", ["3"], {}), ("dtype", ["3x3"], {"dtype": 99})], {}),
    "Gather": (13, [("index", ["3x4", [3]], {}), ("negative", ["3x4", [-4]], {}), ("axis", ["3x4", [0]], {"axis": 2})], {}),
    "GatherElements": (13, [
        ("ranks", ["3x4", [0]], {}),
        ("dims", ["3x4", [[0] * 5]], {"axis": 0}),
        ("index", ["3x4", [[0, 0, 0, 3]]], {})], {}),
    "GatherND": (13, [
        ("tuple", ["3x4", [[0, 0, 0]]], {}),
        ("index", ["3x4", [[0, 4]]], {}),
        ("scalar", ["", [0]], {}),
        ("batch_dims", ["3x4", [[0], [0], [0]]], {"batch_dims": 2}),
        ("batches", ["3x4", [[0], [0]]], {"batch_dims": 1})], {}),
    "ScatterElements": (18, [
        ("reduction", ["3x4", [[0]], "1x1"], {"reduction": "mean"}),
        ("ranks", ["3x4", [0], "1"], {}),
        ("updates", ["3x4", [[0, 0]], "1x1"], {}),
        ("large", ["3x4", [[0] * 5], "1x5"], {}),
        ("index", ["3x4", [[3]], "1x1"], {})], {}),
    "ScatterND": (18, [
        ("scalar", ["", [0], ""], {}),
        ("tuple", ["3x4", [[0, 0, 0]], "1"], {}),
        ("updates", ["3x4", [[0]], "1x3"], {}),
        ("index", ["3x4", [[3]], "1x4"], {}),
        ("reduction", ["3x4", [[0]], "1x4"], {"reduction": "any"})], {}),
    "TensorScatter": (24, [
        ("mode", ["2x4x3", "2x1x3"], {"mode": "square"}),
        ("batch_axis", ["2x4x3", "2x1x3"], {"axis": 0}),
        ("ranks", ["2x4x3", "2x3"], {}),
        ("dims", ["2x4x3", "2x1x4"], {}),
        ("places", ["2x4x3", "2x2x3", [3, 0]], {}),
        ("indices", ["2x4x3", "2x1x3", [0]], {})], {}),
    "Pad": (21, [
        ("mode", ["2x3", [0, 0, 1, 1]], {"mode": "mirror"}),
        ("count", ["2x3", [0, 0, 1]], {}),
        ("negative", ["2x3", [-3, 0, 0, 0]], {}),
        ("nothing", ["0x3", [1, 0, 0, 0]], {"mode": "edge"}),
        ("value", ["2x3", [0, 0, 1, 1], "2"], {}),
        ("axes", ["2x3", [1, 1], None, [2]], {}),
        ("axes_twice", ["2x3", [1, 1, 1, 1], None, [0, -2]], {})], {}),
    "Reshape": (14, [
        ("twice", ["2x3", [-1, -1]], {}),
        ("copied", ["2x3", [2, 3, 0]], {}),
        ("negative", ["2x3", [-2, 3]], {}),
        ("uneven", ["2x3", [4, -1]], {}),
        ("count", ["2x3", [2, 2]], {}),
        ("allowzero", ["2x3", [0, -1]], {"allowzero": 1}),
        ("rank", ["2x3", [[6]]], {}),
        ("dims", ["2x3", [1] * 40], {})], {}),
    "Flatten": (13, [("axis", ["2x3"], {"axis": 3}), ("negative", ["2x3"], {"axis": -3})], {}),
    "Squeeze": (13, [("dim", ["2x3", [0]], {}), ("axis", ["1x3", [2]], {}), ("twice", ["1x3", [0, 0]], {})], {}),
    "Unsqueeze": (13, [("axis", ["2x3", [4]], {}), ("twice", ["2x3", [0, 0]], {}), ("rank", ["2x3", [[0]]], {})], {}),
    "Slice": (13, [
        ("starts_rank", ["2x3", [[0]], [1]], {}),
        ("lengths", ["2x3", [0], [1, 1]], {}),
        ("many", ["2x3", [0, 0, 0], [1, 1, 1]], {}),
        ("step", ["2x3", [0], [1], [0], [0]], {}),
        ("axis", ["2x3", [0], [1], [2]], {}),
        ("axes_twice", ["2x3", [0, 0], [1, 1], [0, 0]], {})], {}),
    "DepthToSpace": (13, [
        ("mode", ["1x4x2x2"], {"blocksize": 2, "mode": "RGB"}),
        ("blocksize", ["1x4x2x2"], {"blocksize": 0}),
        ("rank", ["4x2x2"], {"blocksize": 2}),
        ("channels", ["1x3x2x2"], {"blocksize": 2})], {}),
    "SpaceToDepth": (13, [("dims", ["1x4x3x2"], {"blocksize": 2})], {}),
    "Split": (18, [
        ("negative", ["4x3", [5, -1]], {}),
        ("sum", ["4x3", [2, 3]], {}),
        ("outputs", ["4x3"], {"num_outputs": 3}),
        ("rank", ["4x3", [[2, 2]]], {}),
        ("lengths", ["4x3", [4]], {}),
        ("none", ["4x3"], {"num_outputs": 0})], {"outputs": ("a", "b"), "types": [F32] * 2}),
    "Transpose": (13, [("twice", ["2x3"], {"perm": [0, 0]}), ("short", ["2x3"], {"perm": [0]}), ("outside", ["2x3"], {"perm": [0, 2]})], {}),
    "Trilu": (14, [("rank", ["3"], {}), ("k", ["3x3", [1, 2]], {})], {}),
    "OneHot": (11, [
        ("depth", [[1], [3, 4], (0, 1)], {}),
        ("negative", [[1], [-3], (0, 1)], {}),
        ("values", [[1], [3], (0, 1, 2)], {}),
        ("axis", [[1], [3], (0, 1)], {"axis": 2})], {"types": [F32]}),
    "ReverseSequence": (10, [
        ("axes", ["2x3", [1, 1, 1]], {"batch_axis": 1, "time_axis": 1}),
        ("lengths", ["2x3", [1, 1]], {"batch_axis": 1, "time_axis": 0}),
        ("length", ["2x3", [1, 1, 3]], {"batch_axis": 1, "time_axis": 0})], {}),
    "Compress": (11, [
        ("rank", ["3", np.ones((1, 3), bool)], {}),
        ("place", ["3", np.ones(4, bool)], {}),
        ("axis", ["3", np.ones(2, bool)], {"axis": 1})], {}),
    "CenterCropPad": (18, [("count", ["4x4", [2]], {}), ("axes", ["4x4", [2, 2]], {"axes": [0]}), ("axis", ["4x4", [2]], {"axes": [2]})], {}),
    "Where": (16, [("dims", [np.ones((2, 3), bool), "2x4", "2x3"], {})], {"types": [F32]}),
    "TopK": (11, [
        ("large", ["2x3", [4]], {}),
        ("negative", ["2x3", [-1]], {}),
        ("count", ["2x3", [1, 2]], {}),
        ("axis", ["2x3", [1]], {"axis": 2})], {"outputs": ("v", "i"), "types": [F32, I64]}),
    "ArgMax": (13, [("empty", ["0x3"], {"axis": 0}), ("axis", ["2x3"], {"axis": 2})], {"types": [I64]}),
    "CumSum": (14, [("axes", ["2x3", [0, 1]], {}), ("axis", ["2x3", np.array(2)], {})], {}),
    "Unique": (11, [("axis", ["2x3"], {"axis": 2})], {}),
    "Range": (11, [("still", [np.float32(1), np.float32(5), np.float32(0)], {}), ("endless", [np.float32(0), np.float32(np.inf), np.float32(1)], {}),
                   ("list", ["2", np.float32(5), np.float32(1)], {})], {}),
}

NUMBERS = {
    "Add": (14, [("dims", ["2x3", "2x4"], {}), ("types", ["2x3", [[1, 2, 3]]], {})], {}),
    "Div": (14, [("zero", [[4, 5], [2, 0]], {})], {}),
    "Mod": (13, [("fmod", ["3", "3"], {"fmod": 2}), ("zero", [[4], [0]], {})], {}),
    "PRelu": (16, [("rank", ["3", "2x3"], {}), ("dims", ["2x3", "2"], {})], {}),
    "BitShift": (11, [("direction", [byte(2), byte(2)], {"direction": "UP"})], {}),
    "Max": (13, [("dims", ["2x3", "2x4"], {})], {}),
    "Clip": (13, [("bounds", ["2x3", "2"], {})], {}),
    "Gelu": (20, [("approximate", ["3"], {"approximate": "erf"})], {}),
    "Dropout": (13, [("ratio", ["3", np.float32(1.5), np.array(True)], {}), ("ratios", ["3", "2", np.array(True)], {})], {}),
    "Cast": (19, [("to", ["3"], {"to": 99}), ("text", [texts("1", "one")], {"to": F32})], {"types": [F32]}),
    "CastLike": (19, [("text", [texts("x"), "1"], {})], {"types": [F32]}),
    "BitCast": (26, [("width", ["3"], {"to": F16}), ("to", ["3"], {"to": 8})], {"types": [F16]}),
    "QuantizeLinear": (21, [
        ("block", ["2x4", "2x2", byte(2, 2)], {"block_size": -1}),
        ("shapes", ["2x4", "2", byte(3)], {"axis": 0}),
        ("rank", ["2x4", "2x4x1"], {}),
        ("count", ["2x4", "3"], {"axis": 0}),
        ("blocks", ["2x4", "2x3", byte(2, 3)], {"axis": 1, "block_size": 2}),
        ("dtype", ["2x4", np.float32(1), np.array(1, np.uint8)], {"output_dtype": TensorProto.INT8})], {"types": [TensorProto.UINT8]}),
    "DequantizeLinear": (21, [("count", [byte(2, 4), "3"], {"axis": 0}), ("shapes", [byte(2, 4), "2", byte(4)], {"axis": 0})], {"types": [F32]}),
    "Gemm": (13, [
        ("rank", ["2x3x1", "3x4"], {}),
        ("inner", ["2x3", "4x3"], {}),
        ("c_rank", ["2x3", "3x4", "1x2x4"], {}),
        ("c_dims", ["2x3", "3x4", "3"], {})], {}),
    "MatMul": (13, [("scalar", ["", "3"], {}), ("inner", ["2x3", "2x3"], {}), ("batch", ["2x2x3", "3x3x4"], {})], {}),
    "MatMulInteger": (10, [
        ("scalar", [np.array(1, np.uint8), byte(3)], {}),
        ("inner", [byte(2, 3), byte(4, 2)], {}),
        ("batch", [byte(2, 2, 3), byte(3, 3, 2)], {}),
        ("zeros", [byte(2, 3), byte(3, 2), byte(3)], {}),
        ("zeros_b", [byte(2, 3), byte(3, 2), byte(1), byte(3)], {})], {"types": [TensorProto.INT32]}),
    "QLinearMatMul": (10, [
        ("scales", [byte(2, 3), "3", byte(3), byte(3, 2), "1", byte(1), "1", byte(1)], {}),
        ("inner", [byte(2, 3), "1", byte(1), byte(4, 2), "1", byte(1), "1", byte(1)], {})], {}),
    "Einsum": (12, [
        ("dims", ["2x3", "4x3"], {"equation": "ij,ij->i"}),
        ("operands", ["2x3"], {"equation": "ij,ij->i"}),
        ("dot", ["2x3"], {"equation": "i.j->i"}),
        ("dots", ["2x3"], {"equation": "......->"}),
        ("character", ["2x3"], {"equation": "i1->i"}),
        ("output", ["2x3"], {"equation": "ij->k"}),
        ("twice", ["2x3"], {"equation": "ij->ii"}),
        ("rank", ["2x3"], {"equation": "ijk->i"}),
        ("letters", ["2x3"], {"equation": "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz->"})], {}),
    "Det": (22, [("rank", ["3"], {}), ("square", ["2x3"], {})], {}),
    "DFT": (20, [
        ("rank", ["3"], {}),
        ("parts", ["1x4x3"], {}),
        ("length", ["1x4x1", np.array(-1)], {}),
        ("onesided", ["1x4x2"], {"onesided": 1}),
        ("axis", ["1x4x1", None, np.array(2)], {}),
        ("lengths", ["1x4x1", [4, 4]], {})], {}),
    "STFT": (17, [
        ("rank", ["16", np.array(4), "8"], {}),
        ("window_rank", ["1x16x1", np.array(4), "2x8"], {}),
        ("window", ["1x16x1", np.array(4), "8", np.array(6)], {}),
        ("step", ["1x16x1", np.array(0), "8"], {}),
        ("frame", ["1x16x1", np.array(4), None, np.array(0)], {}),
        ("long", ["1x16x1", np.array(4), None, np.array(20)], {}),
        ("onesided", ["1x16x2", np.array(4), "8"], {})], {}),
    "MelWeightMatrix": (17, [
        ("bins", [np.array(-1), np.array(16), np.array(8000), np.float32(0), np.float32(4000)], {}),
        ("list", [[8, 8], np.array(16), np.array(8000), np.float32(0), np.float32(4000)], {}),
        ("edges", [np.array(8), np.array(16), np.array(8000), np.float32(100), np.float32(-4000)], {}),
        ("dtype", [np.array(8), np.array(16), np.array(8000), np.float32(0), np.float32(4000)], {"output_datatype": 8})], {"types": [F32]}),
    "HannWindow": (17, [("size", [[3, 4]], {}), ("dtype", [np.array(4)], {"output_datatype": 8}), ("negative", [np.array(-4)], {})], {"types": [F32]}),
    "Multinomial": (7, [("rank", ["3"], {}), ("size", ["1x3"], {"sample_size": -1}), ("classes", ["1x0"], {})], {"types": [TensorProto.INT32]}),
    "RandomNormal": (1, [("dtype", [], {"shape": [2], "dtype": 7}), ("type", [], {"shape": [2], "dtype": 99}),
                         ("dims", [], {"shape": [1] * 40})], {"types": [F32]}),
    "RandomUniformLike": (1, [("dtype", ["3"], {"dtype": 7})], {}),
    "ReduceSum": (13, [("axis", ["2x3", [2]], {})], {}),
    "ReduceMax": (20, [("axis", ["2x3", [-3]], {})], {}),
    "Softmax": (13, [("axis", ["2x3"], {"axis": 2})], {}),
    "Hardmax": (13, [("axis", ["2x3"], {"axis": -3})], {}),
}

LAYERS = {
    "BatchNormalization": (15, [("scalar", ["", "3", "3", "3", "3"], {}), ("channels", ["2x3x4", "3", "4", "3", "3"], {})], {}),
    "InstanceNormalization": (6, [("rank", ["3", "3", "3"], {}), ("channels", ["2x3x4", "4", "3"], {})], {}),
    "GroupNormalization": (21, [
        ("rank", ["4", "4", "4"], {"num_groups": 2}),
        ("groups", ["2x4x3", "4", "4"], {"num_groups": 0}),
        ("uneven", ["2x4x3", "4", "4"], {"num_groups": 3}),
        ("scale", ["2x4x3", "3", "4"], {"num_groups": 2})], {}),
    "LayerNormalization": (17, [("scale", ["2x3", "4"], {}), ("bias", ["2x3", "3", "2"], {}), ("axis", ["2x3", "3"], {"axis": 2})], {}),
    "RMSNormalization": (23, [("scale", ["2x3", "4"], {}), ("axis", ["2x3", "3"], {"axis": -3})], {}),
    "LpNormalization": (22, [("p", ["2x3"], {"p": 3}), ("axis", ["2x3"], {"axis": 2})], {}),
    "LRN": (13, [("size", ["1x3x2"], {"size": 0}), ("rank", ["3"], {"size": 3})], {}),
    "MeanVarianceNormalization": (13, [("axes", ["2x3"], {"axes": [0, 2]})], {}),
    "Conv": (11, [
        ("group", ["1x4x5", "4x4x3"], {"group": 0}),
        ("channels", ["1x4x5", "4x3x3"], {}),
        ("uneven", ["1x4x5", "3x2x3"], {"group": 2}),
        ("ranks", ["1x4x5", "4x4x3x3"], {}),
        ("bias", ["1x4x5", "4x4x3", "3"], {}),
        ("auto_pad", ["1x4x5", "4x4x3"], {"auto_pad": "ALL"}),
        ("kernel", ["1x4x5", "4x4x3"], {"kernel_shape": [2]}),
        ("strides", ["1x4x5", "4x4x3"], {"strides": [0]}),
        ("strides_count", ["1x4x5", "4x4x3"], {"strides": [1, 1]}),
        ("dilations", ["1x4x5", "4x4x3"], {"dilations": [-1]}),
        ("pads", ["1x4x5", "4x4x3"], {"pads": [1]}),
        ("large", ["1x4x2", "4x4x3"], {}),
        ("flat", ["1x4", "4x4"], {})], {}),
    "ConvTranspose": (11, [
        ("group", ["1x4x5", "4x4x3"], {"group": 0}),
        ("channels", ["1x4x5", "3x4x3"], {}),
        ("ranks", ["1x4x5", "4x4x3x3"], {}),
        ("bias", ["1x4x5", "4x4x3", "3"], {}),
        ("output_padding", ["1x4x5", "4x4x3"], {"output_padding": [-1]}),
        ("output_shape", ["1x4x5", "4x4x3"], {"output_shape": [-1]}),
        ("kernel", ["1x4x5", "4x4x3"], {"kernel_shape": [2]})], {}),
    "ConvInteger": (10, [
        ("channels", [byte(1, 4, 5), byte(4, 3, 3)], {}),
        ("zeros", [byte(1, 4, 5), byte(4, 4, 3), byte(4)], {}),
        ("w_zeros", [byte(1, 4, 5), byte(4, 4, 3), byte(1), byte(3)], {})], {"types": [TensorProto.INT32]}),
    "QLinearConv": (10, [
        ("bias", [byte(1, 4, 5), "1", byte(1), byte(4, 4, 3), "1", byte(1), "1", byte(1), np.ones(3, np.int32)], {}),
        ("scales", [byte(1, 4, 5), "1", byte(1), byte(4, 4, 3), "3", byte(3), "1", byte(1)], {})], {}),
    "DeformConv": (22, [
        ("groups", ["1x4x5x5", "4x4x3x3", "1x18x3x3"], {"offset_group": 0}),
        ("uneven", ["1x4x5x5", "4x4x3x3", "1x18x3x3"], {"offset_group": 3}),
        ("offset", ["1x4x5x5", "4x4x3x3", "1x16x3x3"], {}),
        ("mask", ["1x4x5x5", "4x4x3x3", "1x18x3x3", None, "1x8x3x3"], {})], {}),
    "Col2Im": (18, [
        ("rank", ["4x9", [5, 5], [2, 2]], {}),
        ("lists", ["1x4x16", [5, 5], [2]], {}),
        ("strides", ["1x4x16", [5, 5], [2, 2]], {"strides": [0, 1]}),
        ("block", ["1x4x16", [5, 5], [0, 2]], {}),
        ("channels", ["1x5x16", [5, 5], [2, 2]], {}),
        ("columns", ["1x4x15", [5, 5], [2, 2]], {}),
        ("dilations", ["1x4x16", [5, 5], [2, 2]], {"dilations": [1]})], {}),
    "MaxPool": (12, [
        ("kernel", ["1x1x4"], {"kernel_shape": [0]}),
        ("rank", ["1x1x4"], {"kernel_shape": [2, 2]}),
        ("flat", ["4"], {"kernel_shape": [2]}),
        ("pads", ["1x1x4"], {"kernel_shape": [2], "pads": [0]}),
        ("negative", ["1x1x4"], {"kernel_shape": [2], "pads": [-1, 0]}),
        ("large", ["1x1x4"], {"kernel_shape": [5]})], {}),
    "AveragePool": (22, [("strides", ["1x1x4"], {"kernel_shape": [2], "strides": [0]}), ("large", ["1x1x4"], {"kernel_shape": [9]})], {}),
    "LpPool": (22, [("p", ["1x1x4"], {"kernel_shape": [2], "p": 0})], {}),
    "GlobalAveragePool": (22, [("rank", ["4"], {})], {}),
    "GlobalLpPool": (22, [("p", ["1x1x4"], {"p": 0})], {}),
    "MaxUnpool": (22, [
        ("ranks", ["1x1x2", [0, 1]], {"kernel_shape": [2]}),
        ("dims", ["1x1x2", [[[0, 1, 2]]]], {"kernel_shape": [2]}),
        ("output", ["1x1x2", [[[0, 1]]], [1, 1]], {"kernel_shape": [2]}),
        ("index", ["1x1x2", [[[0, 9]]]], {"kernel_shape": [2]}),
        ("negative", ["1x1x2", [[[0, -9]]]], {"kernel_shape": [2]}),
        ("pads", ["1x1x2", [[[0, 1]]]], {"kernel_shape": [2], "pads": [9, 9]})], {}),
    "MaxRoiPool": (22, [("columns", ["1x1x4x4", "2x4"], {"pooled_shape": [2, 2]}), ("shape", ["1x1x4x4", "2x5"], {"pooled_shape": [0, 2]}),
                        ("batch", ["1x1x4x4", ((7, 0, 0, 2, 2),)], {"pooled_shape": [2, 2]})], {}),
    "RoiAlign": (22, [
        ("rank", ["1x4x4", "1x4", [0]], {}),
        ("rois", ["1x1x4x4", "4", [0]], {}),
        ("columns", ["1x1x4x4", "1x5", [0]], {}),
        ("size", ["1x1x4x4", "1x4", [0]], {"output_height": 0}),
        ("mode", ["1x1x4x4", "1x4", [0]], {"mode": "min"}),
        ("coordinates", ["1x1x4x4", "1x4", [0]], {"coordinate_transformation_mode": "none"}),
        ("sampling", ["1x1x4x4", "1x4", [0]], {"sampling_ratio": -1}),
        ("indices_rank", ["1x1x4x4", "1x4", [[0]]], {}),
        ("indices", ["1x1x4x4", "1x4", [0, 0]], {}),
        ("batch", ["1x1x4x4", "1x4", [1]], {}),
        ("huge", ["1x1x4x4", ((0, 0, 1e30, 1e30),), [0]], {}),
        ("empty", ["1x1x0x4", "1x4", [0]], {})], {}),
    "GridSample": (22, [
        ("mode", ["1x1x3x3", "1x2x2x2"], {"mode": "any"}),
        ("padding", ["1x1x3x3", "1x2x2x2"], {"padding_mode": "any"}),
        ("ranks", ["1x1x3x3", "1x2x2"], {}),
        ("flat", ["1x1", "1x2"], {}),
        ("last", ["1x1x3x3", "1x2x2x3"], {}),
        ("batch", ["1x1x3x3", "2x2x2x2"], {}),
        ("empty", ["1x1x0x3", "1x2x2x2"], {})], {}),
    "Resize": (19, [
        ("mode", ["1x1x3x3", None, (1, 1, 2, 2)], {"mode": "sharp"}),
        ("coordinates", ["1x1x3x3", None, (1, 1, 2, 2)], {"coordinate_transformation_mode": "other"}),
        ("nearest", ["1x1x3x3", None, (1, 1, 2, 2)], {"nearest_mode": "other"}),
        ("policy", ["1x1x3x3", None, None, [1, 1, 2, 2]], {"keep_aspect_ratio_policy": "other"}),
        ("scales", ["1x1x3x3", None, (1, 2, 2)], {}),
        ("sizes", ["1x1x3x3", None, None, [1, 2, 2]], {}),
        ("zero", ["1x1x3x3", None, (1, 1, 0, 2)], {}),
        ("nan", ["1x1x3x3", None, (1, 1, math.nan, 2)], {}),
        ("huge", ["1x1x3x3", None, (1, 1, 1e30, 2)], {}),
        ("both", ["1x1x3x3", None, (1, 1, 2, 2), [1, 1, 6, 6]], {}),
        ("neither", ["1x1x3x3"], {}),
        ("empty", ["1x1x0x3", None, None, [1, 1, 2, 2]], {}),
        ("roi", ["1x1x3x3", (0, 1), (1, 1, 2, 2)], {"coordinate_transformation_mode": "tf_crop_and_resize"}),
        ("axes", ["1x1x3x3", None, (2, 2)], {"axes": [2, 4]})], {}),
    "Upsample": (9, [("scales", ["1x1x3x3", (1, 2, 2)], {}), ("small", ["1x1x3x3", (1, 1, -1, 1)], {})], {}),
    "NonMaxSuppression": (11, [
        ("boxes", ["4x4", "1x1x4"], {}),
        ("scores", ["1x4x4", "1x4"], {}),
        ("center", ["1x4x4", "1x1x4"], {"center_point_box": 2}),
        ("counts", ["1x4x4", "1x1x5"], {}),
        ("maximum", ["1x4x4", "1x1x4", [1, 2]], {}),
        ("iou", ["1x4x4", "1x1x4", [2], (1.5,)], {})], {"types": [I64]}),
    "ImageDecoder": (20, [
        ("format", [byte(4)], {"pixel_format": "CMYK"}),
        ("rank", [byte(2, 2)], {})], {"types": [TensorProto.UINT8]}),
    "NegativeLogLikelihoodLoss": (13, [
        ("reduction", ["2x3", [0, 1]], {"reduction": "max"}),
        ("rank", ["3", [0]], {}),
        ("targets_rank", ["2x3", [[0], [1]]], {}),
        ("dims", ["2x3", [0, 1, 2]], {}),
        ("weights", ["2x3", [0, 1], "2"], {}),
        ("target", ["2x3", [0, 3]], {}),
        ("below", ["2x3", [0, -1]], {})], {}),
    "SoftmaxCrossEntropyLoss": (13, [("target", ["2x3", [0, 3]], {}), ("dims", ["2x3x2", [[0], [0]]], {})], {}),
}

CELL = ["5x1x2", "1x12x2", "1x12x3"]  # X, W and R of an LSTM of hidden size 3: gates of 12 rows
SEQUENCES = {
    "LSTM": (22, [
        ("direction", CELL, {"hidden_size": 3, "direction": "both"}),
        ("activations", CELL, {"hidden_size": 3, "activations": ["Sigmoid"]}),
        ("activation", CELL, {"hidden_size": 3, "activations": ["Sigmoid", "Tanh", "Step"]}),
        ("size", CELL, {"hidden_size": 4}),
        ("x_rank", ["5x2", *CELL[1:]], {"hidden_size": 3}),
        ("w_rank", [CELL[0], "12x2", CELL[2]], {"hidden_size": 3}),
        ("w_dims", [CELL[0], "1x12x3", CELL[2]], {"hidden_size": 3}),
        ("bias", [*CELL, "1x23"], {"hidden_size": 3}),
        ("lengths", [*CELL, None, np.array([6], np.int32)], {"hidden_size": 3}),
        ("negative", [*CELL, None, np.array([-1], np.int32)], {"hidden_size": 3}),
        ("batch", [*CELL, None, np.array([5, 5], np.int32)], {"hidden_size": 3}),
        ("h", [*CELL, None, None, "1x1x4"], {"hidden_size": 3}),
        ("peephole", [*CELL, None, None, None, None, "1x8"], {"hidden_size": 3})], {}),
    "GRU": (22, [("size", ["5x1x2", "1x9x2", "1x9x3"], {"hidden_size": 2}), ("w", ["5x1x2", "1x8x2", "1x9x3"], {"hidden_size": 3})], {}),
    "RNN": (22, [("layout", ["5x1x2", "1x3x2", "1x3x3", None, None, "2x1x3"], {"hidden_size": 3}),
                 ("activations", ["5x1x2", "1x3x2", "1x3x3"], {"hidden_size": 3, "activations": ["Tanh", "Tanh"]})], {}),
    "Attention": (24, [
        ("no_heads", ["1x2x8"] * 3, {}),
        ("heads", ["1x2x8"] * 3, {"q_num_heads": 3, "kv_num_heads": 3}),
        ("shared", ["1x2x8"] * 3, {"q_num_heads": 2, "kv_num_heads": 4}),
        ("ranks", ["1x2x8", "1x2x2x4", "1x2x2x4"], {"q_num_heads": 2, "kv_num_heads": 2}),
        ("batches", ["1x2x3x4", "2x2x3x4", "2x2x3x4"], {}),
        ("sizes", ["1x2x3x4", "1x2x3x5", "1x2x3x4"], {}),
        ("lengths", ["1x2x3x4", "1x2x3x4", "1x2x2x4"], {}),
        ("precision", ["1x2x3x4"] * 3, {"softmax_precision": 7}),
        ("mode", ["1x2x3x4"] * 3, {"qk_matmul_output_mode": 4}),
        ("past", [*["1x2x3x4"] * 3, None, "1x2x2x4"], {}),
        ("past_rank", [*["1x2x3x4"] * 3, None, "2x2x4", "2x2x4"], {}),
        ("past_size", [*["1x2x3x4"] * 3, None, "1x2x2x5", "1x2x2x4"], {}),
        ("both", [*["1x2x3x4"] * 3, None, "1x2x2x4", "1x2x2x4", [3]], {}),
        ("nonpad", [*["1x2x3x4"] * 3, None, None, None, [4]], {}),
        ("nonpad_count", [*["1x2x3x4"] * 3, None, None, None, [3, 3]], {}),
        ("mask", [*["1x2x3x4"] * 3, "2x3"], {}),
        ("mask_rank", [*["1x2x3x4"] * 3, "1x1x1x3x3"], {})], {}),
    "RotaryEmbedding": (23, [
        ("rank", ["2x8", "4x4", "4x4", [[0, 1]]], {"num_heads": 2}),
        ("no_heads", ["1x2x8", "4x2", "4x2", [[0, 1]]], {}),
        ("heads", ["1x2x8", "4x2", "4x2", [[0, 1]]], {"num_heads": 3}),
        ("cache_rank", ["1x2x8", "4", "4", [[0, 1]]], {"num_heads": 2}),
        ("columns", ["1x2x8", "4x3", "4x3", [[0, 1]]], {"num_heads": 2}),
        ("ids", ["1x2x8", "4x2", "4x2", [[0, 1, 2]]], {"num_heads": 2}),
        ("lengths", ["1x2x8", "4x2", "5x2", [[0, 1]]], {"num_heads": 2}),
        ("odd", ["1x2x6", "4x1", "4x1", [[0, 1]]], {"num_heads": 2}),
        ("id", ["1x2x8", "4x2", "4x2", [[0, 4]]], {"num_heads": 2}),
        ("tokens", ["1x2x8", "1x3x2", "1x3x2"], {"num_heads": 2})], {}),
    "SwiGLU": (28, [("dims", ["2x3", "2x4"], {})], {}),
    "LinearAttention": (27, [
        ("rule", ["1x2x8", "1x2x8", "1x2x8"], {"q_num_heads": 2, "kv_num_heads": 2, "update_rule": "other"}),
        ("decay", ["1x2x8", "1x2x8", "1x2x8"], {"q_num_heads": 2, "kv_num_heads": 2, "update_rule": "gated"}),
        ("shared", ["1x2x8", "1x2x8", "1x2x8"], {"q_num_heads": 2, "kv_num_heads": 4, "update_rule": "linear"}),
        ("heads", ["1x2x8", "1x2x9", "1x2x8"], {"q_num_heads": 2, "kv_num_heads": 2, "update_rule": "linear"}),
        ("rank", ["2x8", "2x8", "2x8"], {"q_num_heads": 2, "kv_num_heads": 2, "update_rule": "linear"}),
        ("tokens", ["1x2x8", "1x3x8", "1x2x8"], {"q_num_heads": 2, "kv_num_heads": 2, "update_rule": "linear"}),
        ("past", ["1x2x8", "1x2x8", "1x2x8", "1x2x4x5"], {"q_num_heads": 2, "kv_num_heads": 2, "update_rule": "linear"})],
        {"outputs": ("y", "s"), "types": [F32] * 2}),
    "CausalConvWithState": (27, [
        ("rank", ["2x4", "2x1x3"], {}),
        ("channels", ["1x2x4", "3x1x3"], {}),
        ("bias", ["1x2x4", "2x1x3", "3"], {}),
        ("past", ["1x2x4", "2x1x3", None, "1x2x3"], {}),
        ("activation", ["1x2x4", "2x1x3"], {"activation": "tanh"})], {"outputs": ("y", "s"), "types": [F32] * 2}),
}

GRAMS = {"max_gram_length": 1, "max_skip_count": 0, "min_gram_length": 1, "mode": "TF", "ngram_counts": [0],
         "ngram_indexes": [0, 1], "pool_int64s": [4, 5]}
TEXT = {
    "StringNormalizer": (10, [
        ("rank", [np.array([["a"], ["b"]], dtype=object)], {}),
        ("action", [texts("a")], {"case_change_action": "TITLE"})], {}),
    "StringConcat": (20, [("dims", [texts("a", "b"), texts("a", "b", "c")], {})], {}),
    "StringSplit": (20, [("none", ["3"], {})], {"outputs": ("y", "n"), "types": [TensorProto.STRING, I64], "exit": 4}),
    "RegexFullMatch": (20, [("pattern", [texts("a")], {"pattern": "(a"})], {"types": [BOOL]}),
    "TfIdfVectorizer": (9, [
        ("mode", [[4]], {**GRAMS, "mode": "DF"}),
        ("lengths", [[4]], {**GRAMS, "min_gram_length": 2}),
        ("skips", [[4]], {**GRAMS, "max_skip_count": -1}),
        ("counts", [[4]], {**GRAMS, "ngram_counts": [3]}),
        ("indexes", [[4]], {**GRAMS, "ngram_indexes": [0]}),
        ("negative", [[4]], {**GRAMS, "ngram_indexes": [0, -1]}),
        ("weights", [[4]], {**GRAMS, "weights": [1.0]}),
        ("pool", [[4]], {k: v for k, v in GRAMS.items() if k != "pool_int64s"}),
        ("rank", [[[[4]]]], GRAMS)], {"types": [F32]}),
}


def node(op, inputs, outputs, **attrs):
    return helper.make_node(op, inputs.split(), outputs.split(), **attrs)


def body(nodes, inputs, outputs):
    """A subgraph; inputs and outputs are "name:type" with types i, b and f."""
    kinds = {"i": I64, "b": BOOL, "f": F32}

    def info(port):
        name, kind = port.split(":")
        return helper.make_tensor_value_info(name, kinds[kind], None)
    return helper.make_graph(nodes, "body", [info(p) for p in inputs.split()], [info(p) for p in outputs.split()])


PAIR = node("SequenceConstruct", "x0 x0", "s")
LENGTH = node("SequenceLength", "s", "y")
NEG, TO_INT = node("Neg", "v", "w"), node("Cast", "v", "w", to=I64)
SAME = node("Identity", "c", "d")
LOOP = "n:i c:b v:f"

# word: (inputs, nodes, type of y)
PROGRAMS = {
    "sequence_at": (["2x3", np.array(2)], [PAIR, node("SequenceAt", "s x1", "y")], F32),
    "sequence_at_list": (["2x3", [0, 1]], [PAIR, node("SequenceAt", "s x1", "y")], F32),
    "sequence_at_tensor": (["2x3", np.array(0)], [node("SequenceAt", "x0 x1", "y")], F32),
    "sequence_erase": (["2x3", np.array(-3)], [PAIR, node("SequenceErase", "s x1", "t"), node("SequenceLength", "t", "y")], I64),
    "sequence_insert": (["2x3", np.array(9)], [PAIR, node("SequenceInsert", "s x0 x1", "t"), node("SequenceLength", "t", "y")], I64),
    "sequence_insert_type": (["2x3", [1]], [PAIR, node("SequenceInsert", "s x1", "t"), node("SequenceLength", "t", "y")], I64),
    "sequence_length": (["2x3"], [node("SequenceLength", "x0", "y")], I64),
    "sequence_empty": (["2x3"], [node("SequenceEmpty", "", "s", dtype=99), LENGTH], I64),
    "sequence_concat": (["2x3", "2x4"], [node("SequenceConstruct", "x0 x1", "s"), node("ConcatFromSequence", "s", "y", axis=0)], F32),
    "sequence_concat_axis": (["2x3"], [PAIR, node("ConcatFromSequence", "s", "y", axis=2)], F32),
    "sequence_concat_new": (["2x3"], [PAIR, node("ConcatFromSequence", "s", "y", axis=0, new_axis=2)], F32),
    "sequence_concat_none": (["2x3"], [node("SequenceEmpty", "", "s"), node("ConcatFromSequence", "s", "y", axis=0)], F32),
    "sequence_concat_tensor": (["2x3"], [node("ConcatFromSequence", "x0", "y", axis=0)], F32),
    "sequence_split": (["4x3", np.array(0)], [node("SplitToSequence", "x0 x1", "s"), LENGTH], I64),
    "sequence_split_part": (["4x3", [5, -1]], [node("SplitToSequence", "x0 x1", "s"), LENGTH], I64),
    "sequence_split_sum": (["4x3", [1, 2]], [node("SplitToSequence", "x0 x1", "s"), LENGTH], I64),
    "sequence_split_rank": (["4x3", [[4]]], [node("SplitToSequence", "x0 x1", "s"), LENGTH], I64),
    "if_types": (["2x3", np.array(True)], [node("If", "x1", "y", then_branch=body([node("Neg", "x0", "w")], "", "w:f"),
                 else_branch=body([node("Shape", "x0", "w")], "", "w:i"))], F32),
    "if_outputs": (["2x3", np.array(True)], [node("If", "x1", "y", then_branch=body([node("Neg", "x0", "w")], "", "w:f"),
                   else_branch=body([node("Neg", "x0", "w"), node("Abs", "x0", "u")], "", "w:f u:f"))], F32),
    "if_condition": (["2x3", np.array([True, False])], [node("If", "x1", "y", then_branch=body([node("Neg", "x0", "w")], "", "w:f"),
                     else_branch=body([node("Abs", "x0", "w")], "", "w:f"))], F32),
    "loop_inputs": (["2x3", np.array(2), np.array(True)], [node("Loop", "x1 x2 x0 x0", "y", body=body([NEG, SAME], LOOP, "d:b w:f"))], F32),
    "loop_types": (["2x3", np.array(2), np.array(True)], [node("Loop", "x1 x2 x0", "y", body=body([TO_INT, SAME], LOOP, "d:b w:i"))], F32),
    "loop_trips": (["2x3", [2, 2], np.array(True)], [node("Loop", "x1 x2 x0", "y", body=body([NEG, SAME], LOOP, "d:b w:f"))], F32),
    "scan_inputs": (["2x3"], [node("Scan", "x0", "y", num_scan_inputs=2, body=body([NEG], "v:f", "w:f"))], F32),
    "scan_ports": (["2x3", "2x3"], [node("Scan", "x0 x1", "y", num_scan_inputs=1, body=body([NEG], "v:f", "w:f"))], F32),
    "scan_lengths": (["2x3", "4x3"], [node("Scan", "x0 x1", "y", num_scan_inputs=2,
                     body=body([node("Add", "v u", "w")], "v:f u:f", "w:f"))], F32),
    "scan_scalar": ([""], [node("Scan", "x0", "y", num_scan_inputs=1, body=body([NEG], "v:f", "w:f"))], F32),
}


def cases():
    for word, (inputs, nodes, kind) in PROGRAMS.items():
        yield case(word, "", [array(x) for x in inputs], nodes=nodes, types=[kind], domain="", opset=21, exit=3)
    for table in (SHAPES, NUMBERS, LAYERS, SEQUENCES, TEXT):
        for op, (opset, rows, more) in table.items():
            for word, inputs, attrs in rows:
                yield case(f"{op}_{word}", op, [array(x) for x in inputs], attrs,
                           **{"domain": "", "opset": opset, "exit": 3, **more})
