# SPDX-License-Identifier: Apache-2.0
"""com.microsoft: what is neither attention nor quantised nor fused, and ai.onnx's experimental leftovers."""
import numpy as np
from onnx import TensorProto

from peers import case

rng = np.random.default_rng(8)


def rand(*dims, dtype=np.float32, scale=1.0):
    return (rng.standard_normal(dims) * scale).astype(dtype)


def texts(x):
    return np.array(x, dtype=object)


def tokens():
    def token(name, x, expected=None, exit=0, **attrs):
        given = {} if expected is None else {"expected": [texts(expected)]}
        return case(f"tokenizer_{name}", "Tokenizer", [texts(x)], {"mark": 0, "mincharnum": 1, "pad_value": "#", **attrs},
                    exit=exit, **given)

    words = ["a b  cc d", " x", "ccc bb d a", "héllo wörld", "日本 語"]
    yield token("space", words, separators=[" "])
    yield token("mark", words, separators=[" "], mark=1)
    yield token("short", words, separators=[" "], mincharnum=2)
    yield token("short_mark", words, separators=[" "], mincharnum=3, mark=1, pad_value="")
    yield token("matrix", [words[:2], words[2:4]], separators=[" "], pad_value="padding")
    yield token("two", ["a,b;c,,d", "a;b"], separators=[",", ";"], mark=1)
    yield token("long", ["aXXb XX c", "XX"], separators=["XX", " "])
    yield token("overlap", ["abababc", "ab"], separators=["aba"])
    yield token("order", ["xaabx"], separators=["ab", "aab"])
    yield token("order2", ["xaabx"], separators=["aab", "ab"])
    yield token("digits", ["a1b22c", "7"], separators=[r"\d+"])
    yield token("digit", ["a1b22c"], separators=[r"\d"])
    yield token("white", ["a \tb\nc"], separators=[r"\s+"])
    yield token("class", ["a,b.c  d"], separators=["[ ,.]+"])
    yield token("dot", ["a.b"], separators=[r"\."])
    yield token("either", ["a.b, c"], separators=[r"\.|, "])
    yield token("none", ["", " "], separators=[" "], mark=1)
    yield token("all", ["a.b"], separators=["."])
    yield token("chars", words, separators=[""])
    yield token("chars_mark", words, separators=[""], mark=1)
    yield token("chars_exp", words, tokenexp=".", mark=1)
    yield token("exp", ["abc 12 d", "Ab_9"], tokenexp="[a-z]+")
    yield token("exp_words", ["abc 12 d", "Ab_9-x"], tokenexp="[a-zA-Z0-9_]+", mark=1)
    yield token("exp_short", ["abc 12 d"], tokenexp="[a-z]+", mincharnum=2)
    yield token("exp_star", ["bbaab", "abc"], tokenexp="a*")
    yield token("exp_longest", ["ab", "xa"], tokenexp="a|ab")
    yield token("exp_options", ["xaby", "b", "aabb"], tokenexp="a?[ab]?b?")
    yield token("exp_not", ["aé b"], tokenexp="[^ ]+", mincharnum=2)
    yield token("exp_word", ["aé b"], tokenexp=r"\w+")
    yield token("exp_line", ["A b\nc"], tokenexp=".+")
    yield token("exp_group", ["A bA b"], tokenexp="(A b)")
    yield token("exp_range", ["日本語abc"], tokenexp="[一-龥]+")
    yield token("exp_classes", ["a-1 b]2"], tokenexp=r"[\w\-\]]+")
    yield token("exp_run", ["aaab", "aaaa", "b" * 50], tokenexp="a*b")
    yield token("exp_overlap", ["xabcx", "abx", "abc"], tokenexp="abcd|bc")
    yield token("both", ["abc de"], tokenexp="a", separators=[" "])
    yield token("long_text", ["ab " * 500], separators=[" "])
    yield token("run_time", ["a" * 20000], tokenexp="a*b", expected=np.zeros((1, 0)))
    yield token("neither", ["a"], exit=3)
    yield token("chars_short", ["a"], separators=[""], mincharnum=2, exit=3)
    yield token("unsupported", ["aa"], tokenexp="(a)\\1", exit=3)
    yield token("unclosed", ["a"], tokenexp="[a", exit=3)
    yield case("tokenizer_rank", "Tokenizer", [texts([[["a"]]])], {"mark": 0, "mincharnum": 1, "pad_value": "#", "separators": [" "]}, exit=3)
    yield case("tokenizer_nomark", "Tokenizer", [texts(["a"])], {"mincharnum": 1, "pad_value": "#", "separators": [" "]}, exit=3)


def shapes():
    x = rand(2, 3, 4)
    for dtype, word in ((np.float32, "f32"), (np.float16, "f16"), (np.int64, "i64"), (np.bool_, "bool"), (np.int8, "i8")):
        v = (rand(3, 4, 5) * 3).astype(dtype)
        expected = {"expected": [np.triu(v, 1)]} if word in ("f16", "i8", "bool") else {}
        yield case(f"trilu_{word}", "Trilu", [v, np.array(1)], **expected)
    yield case("trilu_lower", "Trilu", [rand(4, 5), np.array(-1)], {"upper": 0})
    yield case("trilu_plain", "Trilu", [rand(4, 5)])
    yield case("trilu_rank", "Trilu", [rand(4)], exit=3)
    for v, word in ((np.array([3, 1, 1, 2, 3], np.float32), "f32"), (rand(0), "empty")):
        yield case(f"unique_{word}", "Unique", [v], outputs=("y", "i", "n"), types=[TensorProto.FLOAT, TensorProto.INT64, TensorProto.INT64])
    yield case("unique_i32", "Unique", [np.array([3, 1, 1, 2], np.int32)], outputs=("y", "i", "n"),
               types=[TensorProto.INT32, TensorProto.INT64, TensorProto.INT64],
               expected=[np.array([3, 1, 2], np.int32), np.array([0, 1, 1, 2]), np.array([1, 2, 1])])
    yield case("unique_rank", "Unique", [rand(2, 2)], outputs=("y", "i", "n"),
               types=[TensorProto.FLOAT, TensorProto.INT64, TensorProto.INT64], exit=3)
    data, index = rand(3, 4, 5), np.array([[0, 1], [2, 3]])
    yield case("gathernd_i64", "GatherND", [data, index])
    yield case("gathernd_i32", "GatherND", [data, index.astype(np.int32)])
    yield case("gathernd_rows", "GatherND", [data, np.array([[[2]], [[-1]]])])
    yield case("gathernd_text", "GatherND", [texts(["a", "b"]), np.array([[1], [0]])])
    yield case("gathernd_outside", "GatherND", [data, index + 9], exit=3)
    for dtype in (np.float32, np.float64, np.int16, np.int32, np.int64):
        word = np.dtype(dtype).name
        yield case(f"range_{word}", "Range", [np.array(v, dtype) for v in (1, 11, 3)])
        yield case(f"range_one_{word}", "Range", [np.array(1, dtype), np.array([5], dtype)])
        yield case(f"range_down_{word}", "Range", [np.array(v, dtype) for v in (5, -3, -2)])
    yield case("range_const", "Range", [np.array(1), np.array(5)], const=(0, 1))
    yield case("range_zero", "Range", [np.array(1), np.array(5), np.array(0)], exit=3)
    pads = np.array([0, 1, 2, 1, 0, 1])
    for mode in ("constant", "reflect", "edge"):
        yield case(f"pad_{mode}", "Pad", [x, pads], {"mode": mode})
        y = np.pad(x.astype(float), [(0, 1), (1, 0), (2, 1)], mode=mode)
        yield case(f"pad_{mode}_f64", "Pad", [x.astype(float), pads], {"mode": mode}, expected=[y])
    yield case("pad_value", "Pad", [x, pads[None], np.array([7], np.float32)])
    yield case("pad_const", "Pad", [x, -np.array([0, 1, 1, 0, 0, 1])], const=(1,))
    yield case("pad_short", "Pad", [x, pads[:4]], exit=3)
    image, grid = rand(2, 3, 5, 6), rand(2, 4, 7, 2)
    for mode in ("bilinear", "nearest", "bicubic"):
        for padding in ("zeros", "border", "reflection"):
            yield case(f"gridsample_{mode}_{padding}", "GridSample", [image, grid], {"mode": mode, "padding_mode": padding})
    yield case("gridsample_aligned", "GridSample", [image, grid], {"align_corners": 1})
    yield case("gridsample_mode", "GridSample", [image, grid], {"mode": "other"}, exit=3)
    for axis in (0, 2, 3, -1, -4):
        yield case(f"expanddims_{axis}", "ExpandDims", [x, np.array(axis, np.int32)])
        yield case(f"expanddims_const_{axis}", "ExpandDims", [x, np.array([axis], np.int32)], const=(1,))
    yield case("expanddims_axis", "ExpandDims", [x, np.array(5, np.int32)], exit=3)
    yield case("expanddims_axes", "ExpandDims", [x, np.array([0, 1], np.int32)], exit=3)
    yield case("sampleop", "SampleOp", [x])
    for dim, size, step in ((-1, 2, 1), (0, 2, 1), (1, 2, 3), (2, 3, 1), (1, 1, 1)):
        yield case(f"unfold_{dim}_{size}_{step}", "UnfoldTensor", [rand(3, 7, 5)], {"dim": dim, "size": size, "step": step})
    yield case("unfold_i64", "UnfoldTensor", [np.arange(10)], {"size": 4, "step": 3})
    yield case("unfold_large", "UnfoldTensor", [rand(3)], {"size": 4}, exit=3)
    yield case("unfold_step", "UnfoldTensor", [rand(3)], {"size": 2, "step": 0}, exit=3)
    table, ids = rand(7, 4), np.array([[1, 6], [0, 2]])
    yield case("torchembedding", "TorchEmbedding", [table, ids], expected=[table[ids]])
    yield case("torchembedding_all", "TorchEmbedding", [table, ids, np.array(0), np.array(True)], expected=[table[ids]])
    yield case("torchembedding_outside", "TorchEmbedding", [table, ids + 9], exit=3)
    v, counts = rand(3, 4, 5), np.array([2, 0, 4], np.int32)
    i32, f32 = TensorProto.INT32, TensorProto.FLOAT
    offsets = np.array([[0, 1, 8, 9], [10, 11, 2, 3], [4, 5, 6, 7]], np.int32)
    tokens = np.concatenate([v[0, :2], v[2]])
    yield case("removepadding", "RemovePadding", [v, counts], outputs=("y", "o", "s", "m"), types=[f32, i32, i32, i32],
               expected=[tokens, offsets, np.array([0, 2, 2, 6], np.int32), np.array([4], np.int32)])
    yield case("removepadding_count", "RemovePadding", [v, counts + 1], outputs=("y", "o", "s", "m"), types=[f32, i32, i32, i32], exit=3)
    yield case("removepadding_counts", "RemovePadding", [v, counts[:2]], outputs=("y", "o", "s", "m"), types=[f32, i32, i32, i32], exit=3)
    full = v.copy()
    full[0, 2:] = full[1] = 0
    yield case("restorepadding", "RestorePadding", [tokens, offsets], expected=[full])
    yield case("restorepadding_offset", "RestorePadding", [tokens, offsets + 9], exit=3)


def hashes():
    u, i = TensorProto.UINT32, TensorProto.INT32
    for dtype in (np.int32, np.uint32, np.int64, np.uint64, np.float32, np.float64):
        x = (rand(3, 4) * 100).astype(np.int64).astype(dtype) if dtype != np.uint32 else np.arange(12, dtype=dtype).reshape(3, 4)
        word = np.dtype(dtype).name
        yield case(f"murmur_{word}", "MurmurHash3", [x], types=[u])
        yield case(f"murmur_seed_{word}", "MurmurHash3", [x], {"seed": 42, "positive": 0}, types=[i])
    words = texts(["", "a", "ab", "abc", "abcd", "abcde", "héllo wörld", "x" * 100])
    yield case("murmur_text", "MurmurHash3", [words], types=[u])
    yield case("murmur_text_seed", "MurmurHash3", [words], {"seed": 7, "positive": 0}, types=[i])
    yield case("murmur_bool", "MurmurHash3", [np.array([True])], types=[u], exit=4)
    x = rand(2, 3)
    bad, inf = x.copy(), x.copy()
    bad[0, 1], inf[1, 2] = np.nan, -np.inf
    for name, v, attrs, want in (("good", x, {}, True), ("nan", bad, {}, False), ("inf", inf, {}, False),
                                 ("nan_only", inf, {"isnan_only": 1}, True), ("inf_only", bad, {"isinf_only": 1}, True)):
        yield case(f"isallfinite_{name}", "IsAllFinite", [x, v], attrs, types=[TensorProto.BOOL], expected=[np.array(want)])
    yield case("isallfinite_both", "IsAllFinite", [x], {"isnan_only": 1, "isinf_only": 1}, types=[TensorProto.BOOL], exit=3)


def ngrams():
    ids = np.array([[1, 2, 3, 1, 2, 4, 1, 2], [5, 5, 5, 5, 5, 5, 5, 5], [0, 1, 2, 3, 4, 5, 6, 7]])
    scores = rand(3, 9)
    for n in (1, 2, 3, 4, 8, 9):
        yield case(f"block_{n}", "NGramRepeatBlock", [ids, scores], {"ngram_size": n}, types=[TensorProto.FLOAT])
    yield case("block_token", "NGramRepeatBlock", [ids, scores[:, :4]], {"ngram_size": 2}, types=[TensorProto.FLOAT], exit=3)
    yield case("block_zero", "NGramRepeatBlock", [ids, scores], {"ngram_size": 0}, types=[TensorProto.FLOAT], exit=3)
    yield case("block_batch", "NGramRepeatBlock", [ids, scores[:2]], {"ngram_size": 2}, types=[TensorProto.FLOAT], exit=3)
    source, now = np.array([1, 5, 3, 4, 2]), np.array([2])
    two = {"outputs": ("t", "i"), "types": [TensorProto.INT64] * 2}
    op = "BifurcationDetector"
    yield case("fork_plain", op, [source, now, np.array([0])], **two)
    yield case("fork_predicted", op, [source, now, np.array([0]), np.array([1, 5, 3, 4, 2, 7])], **two)
    yield case("fork_differs", op, [source, now, np.array([0]), np.array([1, 5, 9, 4, 2, 7])], **two)
    yield case("fork_from", op, [source, now, np.array([2]), np.array([3, 4, 9, 7])], **two)
    yield case("fork_repeats", op, [np.array([1, 2, 3, 1, 2, 4]), np.array([9, 1, 2]), np.array([0])], {"max_ngram_size": 3}, **two)
    yield case("fork_twice", op, [np.array([1, 2, 3, 1, 2, 4]), np.array([3, 1, 2]), np.array([0])], {"min_ngram_size": 2}, **two)
    yield case("fork_long", op, [source, now, np.array([0]), np.array([1])], exit=3, **two)
    yield case("fork_match", op, [source, now, np.array([-1]), np.array([1])], exit=3, **two)
    yield case("fork_sizes", op, [source, now, np.array([0])], {"min_ngram_size": 4}, exit=3, **two)


def matrices():
    for dtype in (np.float32, np.float64):
        word = np.dtype(dtype).name
        yield case(f"inverse_{word}", "Inverse", [rand(2, 3, 5, 5, dtype=dtype) + 3 * np.eye(5, dtype=dtype)], rtol=1e-3, atol=1e-4)
        yield case(f"inverse_pivot_{word}", "Inverse", [np.array([[0, 1], [2, 0]], dtype)])
        for metric in ("sqeuclidean", "euclidean"):
            yield case(f"cdist_{metric}_{word}", "CDist", [rand(5, 19, dtype=dtype), rand(7, 19, dtype=dtype)], {"metric": metric}, rtol=1e-3, atol=1e-4)
    yield case("inverse_f16", "Inverse", [np.array([[4, 0], [0, 2]], np.float16)], expected=[np.array([[0.25, 0], [0, 0.5]], np.float16)])
    yield case("inverse_shape", "Inverse", [rand(2, 3)], exit=3)
    yield case("cdist_default", "CDist", [rand(300, 3), rand(200, 3)], rtol=1e-3, atol=1e-4)
    yield case("cdist_metric", "CDist", [rand(3, 3), rand(2, 3)], {"metric": "cosine"}, exit=4)
    yield case("cdist_columns", "CDist", [rand(3, 3), rand(2, 4)], exit=3)
    for n in (1, 2, 6, 7, 16, 30):
        x = rand(2, 3, n, dtype=np.float64)
        y = np.fft.rfft(x)
        pairs = np.stack([y.real, y.imag], -1)
        yield case(f"rfft_{n}", "Rfft", [x], {"signal_ndim": 1}, expected=[pairs])
        yield case(f"rfft_f32_{n}", "Rfft", [x.astype(np.float32)], expected=[pairs.astype(np.float32)])
        if n % 2 == 0:
            yield case(f"irfft_{n}", "Irfft", [pairs], {"signal_ndim": 1}, expected=[x])
    yield case("irfft_noise", "Irfft", [pairs + [0, 1]], {"signal_ndim": 1}, expected=[np.fft.irfft(y + 1j)])
    yield case("rfft_dims", "Rfft", [x], {"signal_ndim": 2}, exit=4)
    yield case("rfft_sides", "Rfft", [x], {"onesided": 0}, exit=3)
    yield case("irfft_pairs", "Irfft", [rand(3, 4)], {"signal_ndim": 1}, exit=3)
    a, b = rand(2, 3, 2), rand(3, 2)
    wide = (a[..., 0] + 1j * a[..., 1]), (b[..., 0] + 1j * b[..., 1])
    for op, other in (("ComplexMul", wide[1]), ("ComplexMulConj", wide[1].conj())):
        y = wide[0] * other
        yield case(op.lower(), op, [a, b], expected=[np.stack([y.real, y.imag], -1).astype(np.float32)])
    yield case("complexmul_pairs", "ComplexMul", [rand(2, 3), rand(2, 3)], exit=3)


def images():
    x = rand(2, 3, 8, 9)
    rois = np.array([[0, 0, 1, 1], [0.2, 0.1, 0.7, 0.9], [-0.2, 0.3, 1.3, 0.5], [0.9, 0.8, 0.1, 0.2]], np.float32)
    batch = np.array([0, 1, 1, 0], np.int32)
    for mode in ("bilinear", "nearest"):
        for size in ((4, 5), (1, 1), (1, 6), (9, 2)):
            yield case(f"crop_{mode}_{size[0]}x{size[1]}", "CropAndResize", [x, rois, batch, np.array(size, np.int32)],
                       {"mode": mode, "extrapolation_value": 5.0})
    yield case("crop_const", "CropAndResize", [x, rois, batch, np.array([4, 5], np.int32)], const=(3,))
    yield case("crop_batch", "CropAndResize", [x, rois, batch + 2, np.array([4, 5], np.int32)], exit=3)
    yield case("crop_size", "CropAndResize", [x, rois, batch, np.array([0, 5], np.int32)], exit=3)
    yield case("crop_rois", "CropAndResize", [x, rois[:2], batch, np.array([3, 5], np.int32)], exit=3)
    yield case("crop_mode", "CropAndResize", [x, rois, batch, np.array([3, 5], np.int32)], {"mode": "cubic"}, exit=3)
    for dims, kernel, more in (((11,), [3], {}), ((8, 9), [3, 2], {"pads": [1, 0, 1, 1], "strides": [2, 1]}), ((4, 5, 6), [2, 2, 2], {}),
                               ((8, 9), [2, 2], {"auto_pad": "SAME_UPPER"})):
        v = rand(2, 3, *dims)
        mask = (rng.random((1, 1, *dims)) > 0.2).astype(np.int32)
        yield case(f"maskpool_{len(dims)}_{len(more)}_{more.get('auto_pad', '')}", "MaxpoolWithMask", [v, mask], {"kernel_shape": kernel, **more})
    yield case("maskpool_mask", "MaxpoolWithMask", [v, mask[..., :4]], {"kernel_shape": [2, 2]}, exit=3)
    yield case("maskpool_kernel", "MaxpoolWithMask", [v, mask], exit=3)
    w, b = rand(3, 4, 3, 3), rand(4)
    from peers import ask, build
    zeros = case("zeros", "ConvTransposeWithDynamicPads", [x, w, np.zeros(4, int), b])
    yield case("convtranspose_nopads", "ConvTransposeWithDynamicPads", [x, w, None, b], expected=ask(zeros, build(zeros, False)))
    for name, inputs, attrs in (("pads", [x, w, np.array([1, 0, 1, 2]), b], {"strides": [2, 2]}),
                                ("nobias", [x, w, np.array([1, 1, 1, 1])], {"output_padding": [1, 1], "strides": [2, 2]})):
        yield case(f"convtranspose_{name}", "ConvTransposeWithDynamicPads", inputs, attrs)
        yield case(f"convtranspose_const_{name}", "ConvTransposeWithDynamicPads", inputs, attrs, const=(1, 2))
    yield case("convtranspose_short", "ConvTransposeWithDynamicPads", [x, w, np.array([1, 1])], exit=3)
    yield case("convtranspose_negative", "ConvTransposeWithDynamicPads", [x, w, np.array([-1, 0, 0, 0])], exit=3)


def sequences():
    i32 = [TensorProto.INT32]
    for dims in ((5, 7), (1, 4), (4, 1), (1, 6, 6), (40, 33)):
        yield case(f"warp_{'x'.join(map(str, dims))}", "DynamicTimeWarping", [rand(*dims)], types=i32)
    yield case("warp_ties", "DynamicTimeWarping", [np.ones((4, 6), np.float32)], types=i32)
    yield case("warp_batch", "DynamicTimeWarping", [rand(2, 4, 4)], types=i32, exit=3)
    words = rng.integers(1, 20, (6, 8)).astype(np.int32)
    words[1, 5:], words[2, 2:], words[3, 0], words[4, 1:] = 0, 0, 0, 0
    w, b, chars = rand(5, 1, 3, 4), rand(5), rand(20, 4)
    keep = words[[0, 1, 2, 4, 5]]
    yield case("wordconv", "WordConvEmbedding", [keep, w, b, chars], {"embedding_size": 5, "conv_window_size": 3, "char_embedding_size": 4},
               types=[TensorProto.FLOAT])
    yield case("wordconv_plain", "WordConvEmbedding", [keep, w, b, chars], types=[TensorProto.FLOAT], const=(1, 2, 3))
    yield case("wordconv_size", "WordConvEmbedding", [keep, w, b, chars], {"embedding_size": 6}, types=[TensorProto.FLOAT], exit=3)
    yield case("wordconv_char", "WordConvEmbedding", [keep + 20, w, b, chars], types=[TensorProto.FLOAT], exit=3)
    yield case("wordconv_negative", "WordConvEmbedding", [np.where(keep == 0, -1, keep), w, b, chars], types=[TensorProto.FLOAT], exit=3)
    yield case("wordconv_short", "WordConvEmbedding", [keep[:, :2], w, b, chars], types=[TensorProto.FLOAT], exit=3)
    heads, buckets, n, most = 3, 8, 30, 16
    table = rand(buckets, heads)

    def bucket(d, both):
        count, first = (buckets // 2, buckets // 2 * (d > 0)) if both else (buckets, 0)
        d, exact = abs(d), count // 2
        if d < exact:
            return first + d
        return first + min(count - 1, exact + int(np.log(d / exact) / np.log(most / exact) * (count - exact)))

    for both in (0, 1):
        y = np.array([[[table.reshape(heads, buckets)[h, bucket(k - q, both)] for k in range(n)] for q in range(n)] for h in range(heads)])
        yield case(f"positionbias_{both}", "RelativePositionBias", [table, np.array([n]), np.array([n])],
                   {"max_distance": most, "is_bidirectional": both}, expected=[y[None].astype(np.float32)])
    yield case("positionbias_lengths", "RelativePositionBias", [table, np.array([3]), np.array([4])], {"max_distance": 9}, exit=3)
    yield case("positionbias_negative", "RelativePositionBias", [table, np.array([-3]), np.array([-3])], {"max_distance": 9}, exit=3)
    batch, length, size, wide = 2, 5, 4, 6
    q, qb, bias = rand(batch, length, heads * size), rand(heads * size), rand(1, heads, length, length)
    w, gb, eco = rand(size, wide), rand(wide), rand(1, heads, 1, 1)
    gate = ((q + qb).reshape(batch, length, heads, size).transpose(0, 2, 1, 3) @ w + gb).reshape(batch, heads, length, 2, wide // 2).sum(-1)
    gate = 1 / (1 + np.exp(-gate))
    gate = gate[..., :1] * (gate[..., 1:] * eco - 1) + 2
    yield case("gatedbias", "GatedRelativePositionBias", [q, qb, bias, w, gb, eco], {"num_heads": heads}, expected=[gate * bias])
    yield case("gatedbias_f16", "GatedRelativePositionBias", [v.astype(np.float16) for v in (q, qb, bias, w, gb, eco)], {"num_heads": heads},
               expected=[(gate * bias).astype(np.float16)], rtol=2e-2, atol=2e-2)
    yield case("gatedbias_heads", "GatedRelativePositionBias", [q, qb, bias, w, gb, eco], {"num_heads": 2}, exit=3)


def experiments():
    x = rand(2, 3, 6, 7)
    old = {"domain": "", "opset": 8}
    for dtype in (np.float32,):
        yield case("affine", "Affine", [x], {"alpha": 2.0, "beta": 0.5}, **old)
        yield case("affine_default", "Affine", [x], **old)
        yield case("scale", "Scale", [x], {"scale": 3.0}, **old)
        yield case("scale_default", "Scale", [x], **old)
        yield case("imagescaler", "ImageScaler", [x], {"scale": 2.0, "bias": [0.1, -0.2, 0.3]}, **old)
        yield case("softplus", "ParametricSoftplus", [x * 20], {"alpha": 2.0, "beta": 0.5}, **old)
        yield case("scaledtanh", "ScaledTanh", [x], {"alpha": 2.0, "beta": 0.5}, **old)
        yield case("thresholdedrelu", "ThresholdedRelu", [x], {"alpha": 0.5}, **old)
        yield case("crop", "Crop", [x], {"border": [1, 2, 3, 1]}, **old)
        yield case("crop_scale", "Crop", [x], {"border": [1, 2, 0, 0], "scale": [2, 3]}, **old)
        for across in (0, 1):
            for variance in (0, 1):
                yield case(f"mvn_{across}{variance}", "MeanVarianceNormalization", [x],
                           {"across_channels": across, "normalize_variance": variance}, **old)
        yield case("mvn_default", "MeanVarianceNormalization", [x], **old)
        yield case("mvn_9", "MeanVarianceNormalization", [x], {"axes": [0, 2]}, domain="", opset=9)
        yield case("dynamicslice", "DynamicSlice", [x, np.array([0, 1]), np.array([1, -1]), np.array([1, 3])], **old)
        yield case("dynamicslice_plain", "DynamicSlice", [x, np.array([0, 1], np.int32), np.array([1, 9], np.int32)], **old)
        yield case("dynamicslice_const", "DynamicSlice", [x, np.array([0, 1]), np.array([1, -1]), np.array([1, 3])], const=(1, 2, 3), **old)
    yield case("imagescaler_channels", "ImageScaler", [x], {"bias": [0.1]}, exit=3, **old)
    yield case("crop_border", "Crop", [x], {"border": [1, 2, 3]}, exit=3, **old)
    yield case("crop_large", "Crop", [x], {"border": [4, 2, 4, 2]}, exit=3, **old)
    yield case("affine_new", "Affine", [x], domain="", opset=17, exit=4)


def cases():
    for part in (tokens, shapes, hashes, ngrams, matrices, images, sequences, experiments):
        yield from part()
