# SPDX-License-Identifier: Apache-2.0
"""ai.onnx: what places elements by coordinates: regions, grids, unpooling, windows of an image, scatters."""
import numpy as np
from onnx import TensorProto

from peers import case as any_case

F, D, L, I = np.float32, np.float64, np.int64, np.int32
FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64
random = np.random.default_rng(32)


def case(name, op, inputs, attrs=None, **more):
    return any_case(name, op, inputs, attrs, domain="", **{"opset": 22, **more})


def rand(*dims, dtype=F):
    return random.standard_normal(dims).astype(dtype)


def ints(*v, dtype=L):
    return np.array(v, dtype)


def unpool():
    x, at = np.array([[[[1, 2], [3, 4]]]], F), np.array([[[[5, 7], [13, 15]]]])
    two = {"kernel_shape": [2, 2], "strides": [2, 2]}
    yield case("unpool", "MaxUnpool", [x, at], two)
    # The indices are those of the 4 by 4 image that was pooled, as in ONNX's own test; onnxruntime takes them for the larger one's.
    wide = np.zeros((1, 1, 5, 5), F)
    wide[0, 0, 1:4:2, 1:4:2] = x
    yield case("unpool_shape", "MaxUnpool", [x, at, ints(1, 1, 5, 5)], two, expected=[wide])
    yield case("unpool_strides", "MaxUnpool", [x, at], {"kernel_shape": [2, 2]}, exit=3)  # 3 by 3 has no place 13
    yield case("unpool_pads", "MaxUnpool", [x, np.array([[[[3, 1], [0, 2]]]])], {**two, "pads": [1, 1, 1, 1]},
               expected=[np.array([[[[3, 2], [4, 1]]]], F)])
    yield case("unpool_line", "MaxUnpool", [np.array([[[1, 2]]], F), np.array([[[1, 2]]])], {"kernel_shape": [2], "strides": [2]},
               expected=[np.array([[[0, 1, 2, 0]]], F)])
    yield case("unpool_empty", "MaxUnpool", [np.zeros((0, 1, 2, 2), F), np.zeros((0, 1, 2, 2), L)], two,
               expected=[np.zeros((0, 1, 4, 4), F)])
    yield case("unpool_beyond", "MaxUnpool", [x, at + 1000], two, exit=3)
    yield case("unpool_negative", "MaxUnpool", [x, at - 1000], two, exit=3)
    yield case("unpool_indices", "MaxUnpool", [x, at[..., :1]], two, exit=3)
    yield case("unpool_no_kernel", "MaxUnpool", [x, at], exit=3)
    yield case("unpool_kernel", "MaxUnpool", [x, at], {"kernel_shape": [2]}, exit=3)
    yield case("unpool_small", "MaxUnpool", [x, at, ints(1, 1, 2)], two, exit=3)


def deform():
    x, w = rand(2, 2, 5, 6), rand(4, 2, 3, 3)

    def conv(name, x=x, w=w, offset=None, bias=None, mask=None, out=(3, 4), **more):
        groups = more.get("attrs", {}).get("offset_group", 1)
        k = w.shape[2] * w.shape[3]
        offset = rand(x.shape[0], 2 * k * groups, *out) if offset is None else offset
        return case(f"deform_{name}", "DeformConv", [x, w, offset, bias, mask][:5 if mask is not None else 4 if bias is not None else 3],
                    **{"oracle": "reference", "rtol": 1e-3, **more})
    yield conv("plain")
    yield conv("bias", bias=rand(4))
    yield conv("mask", bias=rand(4), mask=rand(2, 9, 3, 4))
    yield conv("mask_alone", mask=rand(2, 9, 3, 4))
    yield conv("pads", out=(5, 6), attrs={"pads": [1, 1, 1, 1]})
    yield conv("strides", out=(2, 2), attrs={"strides": [2, 2]})
    yield conv("dilations", out=(1, 2), attrs={"dilations": [2, 2]})
    yield conv("groups", w=rand(4, 1, 3, 3), attrs={"group": 2})
    yield conv("offset_groups", attrs={"offset_group": 2})
    yield conv("kernel", attrs={"kernel_shape": [3, 3]})
    yield conv("still", offset=np.zeros((2, 18, 3, 4), F))
    yield conv("far", offset=np.full((2, 18, 3, 4), 1e9, F), expected=[np.zeros((2, 4, 3, 4), F)])
    yield conv("f64", x=x.astype(D), w=w.astype(D), offset=rand(2, 18, 3, 4, dtype=D))
    yield conv("empty", x=np.zeros((0, 2, 5, 6), F), expected=[np.zeros((0, 4, 3, 4), F)])
    yield conv("offset_shape", out=(3, 3), exit=3)
    yield conv("channels", w=rand(4, 3, 3, 3), exit=3)
    yield conv("group_zero", attrs={"group": 0}, exit=3)
    yield conv("offset_group_zero", offset=rand(2, 18, 3, 4), attrs={"offset_group": 0}, exit=3)
    yield conv("strides_length", attrs={"strides": [1]}, exit=3)


def grids():
    for dims in (2, 3, 4, 5), (1, 1, 1, 1), (2, 1, 2, 3, 4):
        for align in 0, 1:
            theta = rand(dims[0], len(dims) - 2, len(dims) - 1)
            yield case(f"affine_{'x'.join(map(str, dims))}_{align}", "AffineGrid", [theta, ints(*dims)], {"align_corners": align},
                       oracle="reference", const=[1]) if min(dims[2:]) > 1 else \
                case(f"affine_one_{align}", "AffineGrid", [theta, ints(*dims)], {"align_corners": 0}, oracle="reference")
    yield case("affine_empty", "AffineGrid", [np.zeros((0, 2, 3), F), ints(0, 1, 2, 3)], expected=[np.zeros((0, 2, 3, 2), F)])
    yield case("affine_size", "AffineGrid", [rand(1, 2, 3), ints(1, 1, 2, 3, 4)], exit=3)
    yield case("affine_batch", "AffineGrid", [rand(1, 2, 3), ints(2, 1, 2, 3)], exit=3)
    yield case("affine_theta", "AffineGrid", [rand(1, 3, 3), ints(1, 1, 2, 3)], exit=3)
    yield case("affine_negative", "AffineGrid", [rand(1, 2, 3), ints(1, 1, -2, 3)], exit=3)

    x, grid = rand(2, 3, 4, 5), (random.random((2, 3, 4, 2)) * 3 - 1.5).astype(F)
    for mode in "linear", "nearest", "cubic":
        for padding in "zeros", "border", "reflection":
            for align in 0, 1:
                yield case(f"sample_{mode}_{padding}_{align}", "GridSample", [x, grid], {"mode": mode, "padding_mode": padding,
                           "align_corners": align}, opset=20, rtol=1e-3, atol=1e-4)
    deep = (random.random((2, 2, 3, 4, 3)) * 3 - 1.5).astype(F)
    for mode in "linear", "nearest":
        yield case(f"sample_deep_{mode}", "GridSample", [rand(2, 3, 4, 5, 6), deep], {"mode": mode}, opset=20, rtol=1e-3, atol=1e-4)
    yield case("sample_old", "GridSample", [x, grid], {"mode": "bilinear"}, opset=16, rtol=1e-3, atol=1e-4)
    z = (x + 1j * rand(2, 3, 4, 5)).astype(np.complex64)
    yield case("sample_complex", "GridSample", [z[:1, :1, :2, :2], np.zeros((1, 1, 1, 2), F)], expected=[z[:1, :1, :2, :2].mean(
        (2, 3), keepdims=True)])
    yield case("sample_text", "GridSample", [np.array([[[["a", "b"]]]], object), np.array([[[[.5, 0], [5, 0]]]], F)],
               {"mode": "nearest"}, types=[TensorProto.STRING], expected=[np.array([[[["b", ""]]]], object)])
    yield case("sample_text_linear", "GridSample", [np.array([[[["a", "b"]]]], object), np.zeros((1, 1, 1, 2), F)], exit=4,
               types=[TensorProto.STRING])
    yield case("sample_empty", "GridSample", [x, np.zeros((2, 0, 4, 2), F)], expected=[np.zeros((2, 3, 0, 4), F)])
    yield case("sample_nan", "GridSample", [x[:1, :1], np.full((1, 1, 1, 2), np.nan, F)], {"mode": "nearest"},
               expected=[np.zeros((1, 1, 1, 1), F)], compare="shape")
    yield case("sample_nothing", "GridSample", [np.zeros((1, 1, 0, 3), F), np.zeros((1, 1, 1, 2), F)], exit=3)
    yield case("sample_batch", "GridSample", [x, grid[:1]], exit=3)
    yield case("sample_last", "GridSample", [x, rand(2, 3, 4, 3)], exit=3)
    yield case("sample_rank", "GridSample", [x, rand(2, 3, 2)], exit=3)
    yield case("sample_mode", "GridSample", [x, grid], {"mode": "best"}, exit=3)
    yield case("sample_padding", "GridSample", [x, grid], {"padding_mode": "best"}, exit=3)


def blocks():
    x = np.arange(20, dtype=F).reshape(4, 5)
    for tag, to, attrs in (("crop", (2, 3), {}), ("pad", (6, 8), {}), ("both", (2, 8), {}), ("odd", (3, 4), {}),
                           ("axes", (2,), {"axes": [-1]}), ("order", (7, 2), {"axes": [1, 0]}), ("none", (0, 3), {})):
        yield case(f"center_{tag}", "CenterCropPad", [x, ints(*to)], attrs, oracle="reference")
        yield case(f"center_{tag}_const", "CenterCropPad", [x, ints(*to)], attrs, oracle="reference", const=[1])
    yield case("center_i32", "CenterCropPad", [x, ints(2, 6, dtype=I)], oracle="reference")
    yield case("center_length", "CenterCropPad", [x, ints(2)], exit=3)
    yield case("center_axis", "CenterCropPad", [x, ints(2)], {"axes": [2]}, exit=3)
    yield case("center_negative", "CenterCropPad", [x, ints(2, -1)], exit=3)
    yield case("center_twice", "CenterCropPad", [x, ints(2, 2)], {"axes": [0, -2]}, exit=3)

    for tag, columns, image, block, attrs in (
            ("plain", (1, 5, 5), (5, 5), (1, 5), {}), ("strides", (2, 4, 4), (4, 4), (2, 2), {"strides": [2, 2]}),
            ("overlap", (1, 8, 9), (4, 4), (2, 2), {}), ("pads", (1, 5, 15), (5, 5), (1, 5), {"pads": [0, 1, 0, 1]}),
            ("dilations", (1, 4, 4), (6, 6), (2, 2), {"dilations": [4, 4]}),
            ("deep", (1, 10, 12), (3, 4, 5), (1, 1, 5), {})):
        yield case(f"columns_{tag}", "Col2Im", [rand(*columns), ints(*image), ints(*block)], attrs, oracle="reference", const=[1, 2])
        yield case(f"columns_{tag}_late", "Col2Im", [rand(*columns), ints(*image), ints(*block)], attrs, oracle="reference")
    overlapping = [ints(1, 3), ints(1, 2)]
    yield case("columns_bool", "Col2Im", [np.array([[[0, 1], [1, 0]]], bool), *overlapping], expected=[np.array([[[[0, 1, 0]]]], bool)])
    z = np.array([[[1j, 2], [3, 4j]]], np.complex64)
    yield case("columns_complex", "Col2Im", [z, *overlapping], expected=[np.array([[[[1j, 5, 4j]]]], np.complex64)])
    yield case("columns_text", "Col2Im", [np.array([[["a", "b"], ["c", "d"]]], object), ints(1, 5), ints(1, 2)], {"strides": [1, 3]},
               expected=[np.array([[[["a", "c", "", "b", "d"]]]], object)])
    yield case("columns_text_overlap", "Col2Im", [np.array([[["a", "b"], ["c", "d"]]], object), *overlapping], exit=4)
    yield case("columns_empty", "Col2Im", [np.zeros((0, 2, 2), F), *overlapping], expected=[np.zeros((0, 1, 1, 3), F)])
    yield case("columns_number", "Col2Im", [rand(1, 2, 3), *overlapping], exit=3)
    yield case("columns_block", "Col2Im", [rand(1, 2, 2), ints(1, 3), ints(1, 0)], exit=3)
    yield case("columns_rank", "Col2Im", [rand(2, 2), *overlapping], exit=3)
    yield case("columns_stride", "Col2Im", [rand(1, 2, 2), *overlapping], {"strides": [0, 1]}, exit=3)
    yield case("columns_pads_length", "Col2Im", [rand(1, 2, 2), *overlapping], {"pads": [0, 1]}, exit=3)
    yield case("columns_lists", "Col2Im", [rand(1, 2, 2), ints(1, 3), ints(2)], exit=3)


def regions():
    boxes = random.random((2, 9, 4)).astype(F)
    boxes = np.concatenate([np.minimum(boxes[..., :2], boxes[..., 2:]), np.maximum(boxes[..., :2], boxes[..., 2:])], -1)
    scores = random.random((2, 3, 9)).astype(F)
    limits = [ints(4), np.array([.3], F), np.array([.2], F)]
    kind = {"types": [INT64]}
    for n in range(4):
        yield case(f"nms_{n}", "NonMaxSuppression", [boxes, scores, *limits[:n]], opset=11, **kind)
    centre = np.concatenate([(boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]], -1)
    yield case("nms_centre", "NonMaxSuppression", [boxes, scores, *limits], opset=11, **kind)
    yield case("nms_centre_box", "NonMaxSuppression", [centre, scores, *limits], {"center_point_box": 1}, opset=11, **kind)
    yield case("nms_flipped", "NonMaxSuppression", [boxes[..., [2, 3, 0, 1]], scores, *limits], opset=11, **kind)
    yield case("nms_ties", "NonMaxSuppression", [boxes, np.full((2, 3, 9), .5, F), *limits], opset=11, **kind)
    yield case("nms_none", "NonMaxSuppression", [np.zeros((1, 0, 4), F), np.zeros((1, 1, 0), F), *limits], opset=11,
               expected=[np.zeros((0, 3), L)], **kind)
    yield case("nms_gap", "NonMaxSuppression", [boxes, scores, limits[0], None, limits[2]], opset=11, **kind)
    yield case("nms_iou", "NonMaxSuppression", [boxes, scores, limits[0], np.array([1.5], F)], opset=11, exit=3, **kind)
    yield case("nms_boxes", "NonMaxSuppression", [boxes[..., :3], scores, *limits], opset=11, exit=3, **kind)
    yield case("nms_scores", "NonMaxSuppression", [boxes, scores[..., :5], *limits], opset=11, exit=3, **kind)
    yield case("nms_rank", "NonMaxSuppression", [boxes[0], scores, *limits], opset=11, exit=3, **kind)

    x, rois = rand(2, 3, 8, 9), np.array([[0, 0, 7, 7], [1, 2, 5.5, 4.2], [-3, -3, 20, 20], [4, 4, 4, 4]], F)
    batch = ints(0, 1, 1, 0)
    for mode in "avg", "max":
        for how in "half_pixel", "output_half_pixel":
            for ratio in 0, 2:
                if mode == "avg":
                    yield case(f"align_{how}_{ratio}", "RoiAlign", [x, rois, batch], {
                        "output_height": 3, "output_width": 2, "sampling_ratio": ratio, "spatial_scale": .5,
                        "coordinate_transformation_mode": how}, opset=16, rtol=1e-3, atol=1e-4)
    # The largest of the samples, as the text and ONNX's own tests have it; onnxruntime took the largest of weighted corners.
    flat = np.full((1, 1, 6, 6), 2.5, F)
    yield case("align_max", "RoiAlign", [flat, rois[1:2], ints(0)], {"mode": "max", "output_height": 2, "output_width": 2,
               "sampling_ratio": 2}, expected=[np.full((1, 1, 2, 2), 2.5, F)], compare="shape")
    yield case("align_old", "RoiAlign", [x, rois[:2], batch[:2]], {"output_height": 2, "output_width": 2}, opset=10, rtol=1e-3, atol=1e-4)
    yield case("align_default", "RoiAlign", [x, rois[:2], batch[:2]], opset=16, rtol=1e-3, atol=1e-4)
    yield case("align_f64", "RoiAlign", [x.astype(D), rois[:2].astype(D), batch[:2]], {"output_height": 2}, opset=16)
    yield case("align_none", "RoiAlign", [x, np.zeros((0, 4), F), np.zeros(0, L)], expected=[np.zeros((0, 3, 1, 1), F)])
    yield case("align_beyond", "RoiAlign", [x, rois, batch + 1], exit=3)
    yield case("align_negative", "RoiAlign", [x, rois, batch - 1], exit=3)
    yield case("align_number", "RoiAlign", [x, rois, batch[:2]], exit=3)
    yield case("align_box", "RoiAlign", [x, rois[:, :3], batch], exit=3)
    yield case("align_size", "RoiAlign", [x, rois, batch], {"output_height": 0}, exit=3)
    yield case("align_mode", "RoiAlign", [x, rois, batch], {"mode": "min"}, exit=3)

    five = np.concatenate([batch[:, None].astype(F), rois], 1)
    yield case("max_roi", "MaxRoiPool", [x, five[[0, 1, 3]]], {"pooled_shape": [3, 2]}, opset=1)
    yield case("max_roi_scale", "MaxRoiPool", [x, five[[0, 1]]], {"pooled_shape": [2, 2], "spatial_scale": .5}, opset=1)
    yield case("max_roi_none", "MaxRoiPool", [x, np.zeros((0, 5), F)], {"pooled_shape": [2, 2]}, expected=[np.zeros((0, 3, 2, 2), F)])
    yield case("max_roi_beyond", "MaxRoiPool", [x, five + np.array([5, 0, 0, 0, 0], F)], {"pooled_shape": [2, 2]}, exit=3)
    yield case("max_roi_shape", "MaxRoiPool", [x, five], exit=3)
    yield case("max_roi_length", "MaxRoiPool", [x, five], {"pooled_shape": [2]}, exit=3)
    yield case("max_roi_zero", "MaxRoiPool", [x, five], {"pooled_shape": [0, 2]}, exit=3)
    yield case("max_roi_box", "MaxRoiPool", [x, five[:, 1:]], {"pooled_shape": [2, 2]}, exit=3)

    image = rand(1, 2, 3, 4)
    for mode in "nearest", "linear":
        yield case(f"upsample_{mode}", "Upsample", [image, np.array([1, 1, 2, 3], F)], {"mode": mode}, opset=9)
        yield case(f"upsample_{mode}_const", "Upsample", [image, np.array([1, 1, 2, 3], F)], {"mode": mode}, opset=9, const=[1])
        yield case(f"upsample_{mode}_attr", "Upsample", [image], {"mode": mode, "scales": [1., 1., 2., 2.]}, opset=7)
    yield case("upsample_short", "Upsample", [image, np.array([2, 3], F)], opset=9, exit=3)
    yield case("upsample_negative", "Upsample", [image, np.array([1, 1, -2, 3], F)], opset=9, exit=3)
    yield case("upsample_mode", "Upsample", [image, np.array([1, 1, 2, 3], F)], {"mode": "bicubic"}, opset=9, exit=3)


def placed():
    x, at, new = rand(3, 4), random.integers(-3, 3, (2, 4)), rand(2, 4)
    yield case("scatter", "Scatter", [x, at % 3, new], opset=9)
    yield case("scatter_axis", "Scatter", [x, np.array([[3, 0], [1, 2]]), rand(2, 2)], {"axis": 1}, opset=9)
    yield case("scatter_i32", "Scatter", [x, np.array([[3, 0]], I), rand(1, 2)], {"axis": -1}, opset=10)
    yield case("scatter_beyond", "Scatter", [x, at + 7, new], opset=9, exit=3)
    yield case("scatter_axis_beyond", "Scatter", [x, at % 3, new], {"axis": 2}, opset=9, exit=3)
    past, update = rand(2, 3, 6, 4), rand(2, 3, 2, 4)
    for tag, index, attrs in (("zero", None, {}), ("index", ints(1, 4), {}), ("circular", ints(5, 4), {"mode": "circular"}),
                              ("axis", ints(0, 3), {"axis": -2})):
        yield case(f"cache_{tag}", "TensorScatter", [past, update, index][:2 if index is None else 3], attrs, opset=24, oracle="reference")
    yield case("cache_first", "TensorScatter", [past, rand(2, 1, 6, 4), ints(1, 2)], {"axis": 1}, opset=24, oracle="reference")
    yield case("cache_rank3", "TensorScatter", [rand(2, 5, 3), rand(2, 2, 3), ints(3, 0)], opset=24, oracle="reference")
    yield case("cache_nothing", "TensorScatter", [past, np.zeros((2, 3, 0, 4), F), ints(1, 4)], opset=24, expected=[past])
    yield case("cache_beyond", "TensorScatter", [past, update, ints(1, 5)], opset=24, exit=3)
    yield case("cache_negative", "TensorScatter", [past, update, ints(1, -1)], opset=24, exit=3)
    yield case("cache_batch", "TensorScatter", [past, update, ints(1)], opset=24, exit=3)
    yield case("cache_axis_batch", "TensorScatter", [past, update, ints(1, 1)], {"axis": 0}, opset=24, exit=3)
    yield case("cache_mode", "TensorScatter", [past, update, ints(1, 1)], {"mode": "round"}, opset=24, exit=3)
    yield case("cache_dims", "TensorScatter", [past, rand(2, 2, 2, 4), ints(1, 1)], opset=24, exit=3)

    for tag, v in (("f32", np.array([2, 1, 1, 3, 4, 3], F)), ("i64", ints(2, 1, 1, 3)), ("text", np.array(["b", "a", "b"], object)),
                   ("i8", ints(2, 1, 1, dtype=np.int8)), ("f64", np.array([2, 1, 2.]))):
        for order in 0, 1:
            kind = TensorProto.STRING if tag == "text" else {"f32": FLOAT, "i64": INT64, "i8": TensorProto.INT8}.get(tag, TensorProto.DOUBLE)
            yield case(f"unique_{tag}_{order}", "Unique", [v], {"sorted": order}, outputs=("y", "a", "b", "c"),
                       types=[kind, INT64, INT64, INT64], opset=11)
    table = np.array([[1, 0, 1], [1, 0, 1], [2, 3, 2]], F)
    for axis in 0, 1, -1:
        yield case(f"unique_axis{axis}", "Unique", [table], {"axis": axis}, outputs=("y", "a", "b", "c"),
                   types=[FLOAT, INT64, INT64, INT64], opset=11)
    yield case("unique_alone", "Unique", [table], opset=11)
    yield case("unique_gap", "Unique", [table], outputs=("y", "", "b"), types=[FLOAT, INT64, INT64], opset=11,
               expected=[np.array([0, 1, 2, 3], F), ints(1, 0, 1, 1, 0, 1, 2, 3, 2)])
    yield case("unique_empty", "Unique", [np.zeros(0, F)], outputs=("y", "a", "b", "c"), types=[FLOAT, INT64, INT64, INT64],
               expected=[np.zeros(0, F)] + [np.zeros(0, L)] * 3)
    yield case("unique_scalar", "Unique", [np.array(5, F)], expected=[np.array([5], F)])
    z = np.array([1 + 2j, 1 + 1j, 1 + 2j, -5], np.complex64)
    yield case("unique_complex", "Unique", [z], outputs=("y", "a", "b", "c"), types=[TensorProto.COMPLEX64, INT64, INT64, INT64],
               expected=[np.array([-5, 1 + 1j, 1 + 2j], np.complex64), ints(3, 1, 0), ints(2, 1, 2, 0), ints(1, 1, 2)])
    yield case("unique_complex_axis", "Unique", [np.stack([z, z[::-1]]).T.astype(np.complex128)], {"axis": 0},
               expected=[np.unique(np.stack([z, z[::-1]]).T.astype(np.complex128), axis=0)])
    yield case("unique_axis_beyond", "Unique", [table], {"axis": 2}, exit=3)


def cases():
    for family in unpool, deform, grids, blocks, regions, placed:
        yield from family()
