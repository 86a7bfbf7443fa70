# SPDX-License-Identifier: Apache-2.0
"""ai.onnx.ml: features, labels and maps. onnxruntime is the oracle where it has the type; for others, and
where the specification says something else, results are computed here."""
import numpy as np
from onnx import TensorProto, helper, numpy_helper
from peers import case as any_case

F, D, I, L, S = np.float32, np.float64, np.int32, np.int64, str
FLOAT, INT64, STRING = TensorProto.FLOAT, TensorProto.INT64, TensorProto.STRING
NAMES = {F: "f32", D: "f64", I: "i32", L: "i64", S: "str"}
ONNX = {F: FLOAT, D: TensorProto.DOUBLE, I: TensorProto.INT32, L: INT64, S: STRING, np.int16: TensorProto.INT16}
random = np.random.default_rng(1)


def case(name, op, inputs, attrs=None, **more):
    return any_case(name, op, inputs, attrs, domain="ai.onnx.ml", **{"opset": 1, **more})


def table(dtype, *shape):
    v = random.integers(-9, 10, shape)
    return v.astype(str) if dtype is S else (v + (random.random(shape) if dtype in (F, D) else 0)).astype(dtype)


def columns():
    for dtype in (F, D, I, L, S):
        for tag, shape in ("vector", (5,)), ("table", (3, 5)), ("cube", (2, 3, 5)), ("no_rows", (0, 5)):
            yield case(f"extract_{NAMES[dtype]}_{tag}", "ArrayFeatureExtractor",
                       [table(dtype, *shape), np.array([[4, 0], [0, 2]], L)])
    yield case("extract_const", "ArrayFeatureExtractor", [table(F, 3, 5), np.array([1], L)], const=[1])
    yield case("extract_many", "ArrayFeatureExtractor", [table(F, 300, 500), random.integers(0, 500, 200)])
    yield case("extract_nothing", "ArrayFeatureExtractor", [table(F, 3, 5), np.zeros(0, L)], expected=[np.zeros((3, 0), F)])
    yield case("extract_scalar_index", "ArrayFeatureExtractor", [table(F, 3, 5), np.array(2, L)])
    yield case("extract_beyond", "ArrayFeatureExtractor", [table(F, 3, 5), np.array([5], L)], exit=3)
    yield case("extract_negative", "ArrayFeatureExtractor", [table(F, 3, 5), np.array([-1], L)], exit=3)
    yield case("extract_scalar", "ArrayFeatureExtractor", [table(F), np.array([0], L)], exit=3)
    yield case("extract_f16", "ArrayFeatureExtractor", [table(F, 3).astype(np.float16), np.array([0], L)], exit=4)

    def vectorize(name, inputs, widths, **more):
        return case(f"vectorize_{name}", "FeatureVectorizer", inputs, widths and {"inputdimensions": widths}, types=[FLOAT],
                    **more)
    for dtype in (F, D, I, L):
        x = [table(dtype, 4, 3), table(dtype, 4, 1), table(dtype, 4, 2)]
        yield vectorize(f"{NAMES[dtype]}", x, [3, 1, 2])
        yield vectorize(f"{NAMES[dtype]}_cut_and_filled", x, [2, 3, 0])
        yield vectorize(f"{NAMES[dtype]}_vectors", [table(dtype, 3), table(dtype, 2)], [3, 2])
    yield vectorize("large", [table(F, 3000, 40), table(F, 3000, 7)], [40, 7])
    yield vectorize("no_rows", [table(F, 0, 2), table(F, 0, 1)], [2, 1], expected=[np.zeros((0, 3), F)])
    x = table(F, 4, 3)
    yield vectorize("no_widths", [x, x], None, expected=[np.concatenate([x, x], 1)])
    yield vectorize("vector_and_row", [table(F, 3), table(F, 1, 2)], [3, 2])
    yield vectorize("rows_differ", [table(F, 4, 3), table(F, 3, 3)], [3, 3], exit=3)
    yield vectorize("short_attribute", [table(F, 4, 3), table(F, 4, 3)], [3], exit=3)
    yield vectorize("negative_attribute", [table(F, 4, 3)], [-3], exit=3)
    yield vectorize("huge_attribute", [table(F, 4, 3)], [1 << 62], exit=5)
    yield vectorize("huge_sum", [table(F, 4, 3), table(F, 4, 3)], [(1 << 63) - 1, (1 << 63) - 1], exit=3)
    yield vectorize("cube", [table(F, 4, 3, 2)], [3], exit=3)


def scales():
    for dtype in (F, D, I, L):
        x, tag = table(dtype, 4, 7), NAMES[dtype]
        yield case(f"binarizer_{tag}", "Binarizer", [x], {"threshold": 1.0}, expected=[(x > 1).astype(dtype)])
        yield case(f"binarizer_{tag}_half", "Binarizer", [x], {"threshold": -1.5}, expected=[(x > -1.5).astype(dtype)])
        yield case(f"binarizer_{tag}_default", "Binarizer", [x], expected=[(x > 0).astype(dtype)])
        for name, low in ("far", 1e30), ("near", -1e30), ("infinite", float("inf")), ("nan", float("nan")):
            yield case(f"binarizer_{tag}_{name}", "Binarizer", [x], {"threshold": low}, expected=[(x > low).astype(dtype)])
        for shape in (), (3,), (2, 3, 4), (0, 4), (2, 0), (70, 600):
            v, place = table(dtype, *shape), "x".join(map(str, shape)) or "scalar"
            yield case(f"binarizer_{tag}_{place}", "Binarizer", [v], expected=[(v > 0).astype(dtype)])
            yield case(f"scaler_{tag}_{place}_one", "Scaler", [v], {"offset": [0.5], "scale": [-2.0]}, types=[FLOAT],
                       expected=[((v - 0.5) * -2.0).astype(F)])
            if shape and shape[-1]:
                n = shape[-1]
                o, k = random.random(n).astype(F), random.random(n).astype(F)
                yield case(f"scaler_{tag}_{place}_each", "Scaler", [v], {"offset": o, "scale": k}, types=[FLOAT],
                           expected=[((v - o) * k).astype(F)])
        yield case(f"scaler_{tag}_scale_only", "Scaler", [x], {"scale": [2.0]}, types=[FLOAT], expected=[(x * 2).astype(F)])
        yield case(f"scaler_{tag}_offset_only", "Scaler", [x], {"offset": list(np.arange(7.0))}, types=[FLOAT],
                   expected=[(x - np.arange(7.0)).astype(F)])
        yield case(f"scaler_{tag}_plain", "Scaler", [x], types=[FLOAT], expected=[x.astype(F)])
        yield case(f"scaler_{tag}_peer", "Scaler", [x], {"offset": list(np.arange(7.0)), "scale": list(np.arange(7.0))},
                   types=[FLOAT])
        for norm in "MAX", "L1", "L2":
            for name, v in ("table", x), ("vector", x[0]), ("zeros", x * 0), ("long", table(dtype, 3, 1500)):
                yield case(f"normalizer_{tag}_{norm}_{name}", "Normalizer", [v], {"norm": norm}, types=[FLOAT])
        yield case(f"normalizer_{tag}_default", "Normalizer", [x], types=[FLOAT])
    yield case("binarizer_large_int", "Binarizer", [np.array([2**62, 2**62 + 1, -2**63], L)], {"threshold": float(2**62)},
               expected=[np.array([0, 1, 0], L)])
    yield case("binarizer_f16", "Binarizer", [table(F, 3).astype(np.float16)], exit=4)
    yield case("normalizer_word", "Normalizer", [table(F, 3, 4)], {"norm": "L3"}, types=[FLOAT], exit=3)
    yield case("normalizer_cube", "Normalizer", [table(F, 3, 4, 2)], types=[FLOAT], exit=3)
    yield case("normalizer_scalar", "Normalizer", [table(F)], types=[FLOAT], exit=3)
    yield case("normalizer_no_columns", "Normalizer", [np.zeros((3, 0), F)], types=[FLOAT], expected=[np.zeros((3, 0), F)])
    yield case("scaler_lengths_differ", "Scaler", [table(F, 3, 4)], {"offset": [1.0] * 4, "scale": [1.0]}, types=[FLOAT], exit=3)
    yield case("scaler_wrong_length", "Scaler", [table(F, 3, 4)], {"offset": [1.0] * 3, "scale": [1.0] * 3}, types=[FLOAT], exit=3)


def imputer():
    nan = float("nan")
    x = np.array([[1, nan, 3, -0.0], [nan, 5, 0, 7]], F)
    for tag, old in ("nan", nan), ("zero", 0.0), ("five", 5.0):
        for name, new in ("one", [9.5]), ("each", [1.5, 2.5, 3.5, 4.5]):
            attrs = {"replaced_value_float": old, "imputed_value_floats": new}
            hit = np.isnan(x) if old != old else x == old
            yield case(f"imputer_f32_{tag}_{name}", "Imputer", [x], attrs)
            yield case(f"imputer_f64_{tag}_{name}", "Imputer", [x.astype(D)], attrs,
                       expected=[np.where(hit, np.array(new), x.astype(D))])
    n = np.array([[1, -1, 3, 1], [4, 5, 1, 7]], L)
    for name, new in ("one", [9]), ("each", [1, -2, 2**31 - 1, 4]):
        attrs = {"replaced_value_int64": 1, "imputed_value_int64s": new}
        yield case(f"imputer_i64_{name}", "Imputer", [n], attrs)
        yield case(f"imputer_i32_{name}", "Imputer", [n.astype(I)], attrs,
                   expected=[np.where(n == 1, np.array(new), n).astype(I)])
    attrs = {"replaced_value_float": nan, "imputed_value_floats": [2.0]}
    yield case("imputer_vector", "Imputer", [x[0]], attrs)
    yield case("imputer_cube", "Imputer", [np.stack([x, x])], attrs)
    yield case("imputer_wide", "Imputer", [np.where(random.random((4, 1300)) < 0.5, nan, 1).astype(F)],
               {"replaced_value_float": nan, "imputed_value_floats": list(np.arange(1300.0))})
    yield case("imputer_empty", "Imputer", [np.zeros((0, 4), F)], attrs, expected=[np.zeros((0, 4), F)])
    yield case("imputer_scalar", "Imputer", [np.array(nan, F)], attrs, expected=[np.array(2, F)])
    yield case("imputer_default", "Imputer", [x], {"imputed_value_floats": [2.0]},
               expected=[np.where(x == 0, F(2), x)])
    yield case("imputer_wrong_length", "Imputer", [x], {"imputed_value_floats": [2.0, 3.0]}, exit=3)
    yield case("imputer_wrong_kind", "Imputer", [x], {"imputed_value_int64s": [2]}, exit=3)
    yield case("imputer_none", "Imputer", [n], exit=3)
    yield case("imputer_too_large", "Imputer", [n.astype(I)], {"imputed_value_int64s": [2**31]}, exit=3)


def labels():
    words, numbers, reals = ["b", "a", "", "long long word"], [7, -3, 0, 2**40], [1.5, float("nan"), 0.0, -2.5]
    lists = {S: ("strings", words), L: ("int64s", numbers), F: ("floats", reals)}
    inputs = {S: np.array([["a", "zz"], ["", "b"], ["long long word", "A"]]), L: np.array([[7, 1], [0, -3], [2**40, 8]], L),
              F: np.array([[np.nan, 1], [0, 1.5], [-2.5, 8]], F)}
    defaults = {S: {"default_string": "none"}, L: {"default_int64": -9}, F: {"default_float": 0.25}}
    for k, (k_word, keys) in lists.items():
        for v, (v_word, values) in lists.items():
            attrs = {f"keys_{k_word}": keys, f"values_{v_word}": values}
            for opset in (2, 4):
                name = f"labels_{NAMES[k]}_{NAMES[v]}_{opset}"
                # onnxruntime finds NaN from version 4 on only.
                known = [np.array([[values[1], "none"], [values[2], values[0]], [values[3], "none"]])] \
                    if (k, v, opset) == (F, S, 2) else None
                if k is not F or opset == 4 or known:
                    yield case(name, "LabelEncoder", [inputs[k]], {**attrs, **defaults[v]}, opset=opset, types=[ONNX[v]],
                               expected=known)
                if k is not F or opset == 4:
                    yield case(f"{name}_default", "LabelEncoder", [inputs[k]], attrs, opset=opset, types=[ONNX[v]])
    tensors = {S: words, L: numbers, F: reals, D: reals, I: [7, -3, 0, 5], np.int16: [7, -3, 0, 5]}

    def tensor(name, dtype, v):
        v = np.array(v)
        return numpy_helper.from_array(v.astype(object) if dtype is S else v.astype(dtype), name)

    for k, keys in tensors.items():
        for v, values in tensors.items():
            name = f"labels_tensors_{np.dtype(k).name}_{np.dtype(v).name}"
            attrs = {"keys_tensor": tensor("keys", k, keys), "values_tensor": tensor("values", v, values)}
            x = np.array([keys[3], keys[1], keys[0], "?" if k is S else 99]).astype(k)
            fallback = {S: "_Unused", F: -0.0, D: -0.0}.get(v, -1)
            yield case(name, "LabelEncoder", [x], attrs, opset=4, types=[ONNX[v]],
                       expected=[np.array([values[3], values[1], values[0], fallback]).astype(v)])
            other = {S: "other"}.get(v, 11)
            yield case(f"{name}_default", "LabelEncoder", [x], {**attrs, "default_tensor": tensor("d", v, [other])}, opset=4,
                       types=[ONNX[v]], expected=[np.array([values[3], values[1], values[0], other]).astype(v)])
    # The last of keys that repeat counts from version 4 on; zeros of both signs are one key.
    attrs = {"keys_int64s": [1, 2, 1], "values_int64s": [10, 20, 30]}
    yield case("labels_repeated_2", "LabelEncoder", [np.array([1, 2, 3], L)], attrs, opset=2)
    yield case("labels_repeated_4", "LabelEncoder", [np.array([1, 2, 3], L)], attrs, opset=4, expected=[np.array([30, 20, -1], L)])
    yield case("labels_zero", "LabelEncoder", [np.array([0.0, -0.0], F)], {"keys_floats": [-0.0], "values_int64s": [5]}, opset=2,
               types=[INT64])
    many = [f"word {i}" for i in range(3000)]
    x = np.array([f"word {i}" for i in random.integers(0, 4000, 20000)])
    at = {w: i for i, w in enumerate(many)}
    yield case("labels_many", "LabelEncoder", [x], {"keys_strings": many, "values_int64s": list(range(3000))}, opset=4,
               types=[INT64], expected=[np.array([at.get(w, -1) for w in x], L)])
    n = random.integers(-5, 3500, 20000)
    yield case("labels_many_words", "LabelEncoder", [n], {"keys_int64s": list(range(3000)), "values_strings": many}, opset=4,
               types=[STRING], expected=[np.array([many[i] if 0 <= i < 3000 else "_Unused" for i in n])])
    for name, x in ("empty", np.zeros((0, 2), L)), ("scalar", np.array(7, L)):
        yield case(f"labels_{name}", "LabelEncoder", [x], {"keys_int64s": [7], "values_strings": ["w"]}, opset=2, types=[STRING],
                   expected=[np.full(x.shape, "w").astype(str)])
    for name, attrs, opset, status in [
            ("lengths", {"keys_int64s": [1, 2], "values_int64s": [1]}, 2, 3),
            ("no_keys", {"values_int64s": [1]}, 2, 3), ("no_values", {"keys_int64s": [1]}, 2, 3),
            ("two_keys", {"keys_int64s": [1], "keys_floats": [1.0], "values_int64s": [1]}, 2, 3),
            ("other_keys", {"keys_strings": ["1"], "values_int64s": [1]}, 2, 3),
            ("tensors_in_2", {"keys_tensor": tensor("k", L, [1]), "values_int64s": [1]}, 2, 3),
            ("default_type", {"keys_int64s": [1], "values_int64s": [1], "default_tensor": tensor("d", F, [1])}, 4, 3),
            ("default_size", {"keys_int64s": [1], "values_int64s": [1], "default_tensor": tensor("d", L, [1, 2])}, 4, 3),
            ("half_values", {"keys_int64s": [1], "values_tensor": tensor("v", np.float16, [1])}, 4, 4)]:
        yield case(f"labels_bad_{name}", "LabelEncoder", [np.array([1], L)], attrs, opset=opset, exit=status)
    attrs = {"classes_strings": ["x", "y", "x"]}
    for name, more in ("", {}), ("_default", {"default_int64": 5, "default_string": "gone"}):
        yield case(f"labels_first_words{name}", "LabelEncoder", [np.array([["x", "y", "z"]])], {**attrs, **more}, types=[INT64])
        yield case(f"labels_first_numbers{name}", "LabelEncoder", [np.array([0, 1, 2, 3, -1], L)], {**attrs, **more},
                   types=[STRING])
        cats = {"cats_strings": ["x", "y", "x"], "cats_int64s": [3, 4, 4]}
        yield case(f"categories_words{name}", "CategoryMapper", [np.array([["x", "y", "z"]])], {**cats, **more}, types=[INT64])
        yield case(f"categories_numbers{name}", "CategoryMapper", [np.array([3, 4, 5], L)], {**cats, **more}, types=[STRING])
    yield case("labels_first_none", "LabelEncoder", [np.array(["x"])], types=[INT64], exit=3)
    yield case("categories_lengths", "CategoryMapper", [np.array(["x"])], {"cats_strings": ["x"], "cats_int64s": [1, 2]},
               types=[INT64], exit=3)
    yield case("categories_type", "CategoryMapper", [np.array([1], I)], {"cats_strings": ["x"], "cats_int64s": [1]},
               types=[STRING], exit=4)


def onehot():
    words, numbers = {"cats_strings": ["b", "a", "c"]}, {"cats_int64s": [5, -1, 0, 5]}
    for dtype in (L, F, D, I):
        x = np.array([[5, 0], [-1, 7], [1, 5]]).astype(dtype) + (0.75 if dtype in (F, D) else 0)
        hot = np.stack([x.astype(L) == k for k in (99, -1, 0, 5)], -1).astype(F)
        yield case(f"onehot_{NAMES[dtype]}", "OneHotEncoder", [x.astype(dtype)], numbers, types=[FLOAT], expected=[hot])
    yield case("onehot_peer", "OneHotEncoder", [np.array([[5, 0], [-1, 7]], L)], numbers, types=[FLOAT])
    yield case("onehot_words", "OneHotEncoder", [np.array([["a", "b"], ["c", "d"]])], words, types=[FLOAT])
    yield case("onehot_vector", "OneHotEncoder", [np.array(["a", "b"])], words, types=[FLOAT])
    yield case("onehot_scalar", "OneHotEncoder", [np.array("a")], words, types=[FLOAT], expected=[np.array([0, 1, 0], F)])
    yield case("onehot_cube", "OneHotEncoder", [np.full((2, 1, 2), "a")], words, types=[FLOAT],
               expected=[np.tile(np.array([0, 1, 0], F), (2, 1, 2, 1))])
    yield case("onehot_empty", "OneHotEncoder", [np.zeros((0, 3), L)], numbers, types=[FLOAT], expected=[np.zeros((0, 3, 4), F)])
    yield case("onehot_many", "OneHotEncoder", [random.integers(0, 300, 5000)], {"cats_int64s": list(range(200))}, types=[FLOAT])
    yield case("onehot_all_known", "OneHotEncoder", [np.array(["a", "b"])], {**words, "zeros": 0}, types=[FLOAT])
    yield case("onehot_unknown", "OneHotEncoder", [np.array(["a", "d"])], {**words, "zeros": 0}, types=[FLOAT], exit=3)
    yield case("onehot_other_type", "OneHotEncoder", [np.array([1], L)], words, types=[FLOAT], exit=3)
    yield case("onehot_both", "OneHotEncoder", [np.array([1], L)], {**words, **numbers}, types=[FLOAT], exit=3)
    yield case("onehot_none", "OneHotEncoder", [np.array([1], L)], types=[FLOAT], exit=3)


def sequence_of(key):
    element = helper.make_tensor_type_proto(FLOAT, [])
    return [helper.make_sequence_type_proto(helper.make_map_type_proto(key, element))]


def maps():
    f32, i64, f64 = F, L, D
    for name, m, words in [("words_f32", {"a": f32(1.5), "c": f32(-2)}, ["a", "b", "c"]),
                           ("words_i64", {"c": i64(4), "a": i64(2**40)}, ["a", "b", "c", "a"]),
                           ("numbers_f32", {3: f32(1.5), -1: f32(2)}, [1, 3, -1]),
                           ("numbers_str", {3: "x", -1: ""}, [3, 1, -1]),
                           ("unknown_keys", {3: f32(1.5), 99: f32(2)}, [1, 3])]:
        value = next(iter(m.values()))
        attrs = {"string_vocabulary" if isinstance(words[0], str) else "int64_vocabulary": words}
        zero = "" if isinstance(value, str) else 0
        y = np.array([[m.get(w, zero) for w in words]])
        yield case(f"dict_{name}", "DictVectorizer", [m], attrs, types=[STRING if isinstance(value, str) else ONNX[type(value)]],
                   expected=[y if isinstance(value, str) else y.astype(type(value))])
    yield case("dict_peer", "DictVectorizer", [{"a": F(1), "c": F(2)}], {"string_vocabulary": ["c", "b", "a", "c"]}, types=[FLOAT])
    many = {i: F(i) for i in range(2000)}
    yield case("dict_many", "DictVectorizer", [many], {"int64_vocabulary": list(range(1, 4000, 3))}, types=[FLOAT])
    yield case("dict_wrong_keys", "DictVectorizer", [{1: F(1)}], {"string_vocabulary": ["a"]}, types=[FLOAT], exit=3)
    yield case("dict_no_words", "DictVectorizer", [{1: F(1)}], types=[FLOAT], exit=3)
    yield case("dict_two_lists", "DictVectorizer", [{1: F(1)}], {"string_vocabulary": ["a"], "int64_vocabulary": [1]},
               types=[FLOAT], exit=3)
    yield case("dict_tensor", "DictVectorizer", [table(F, 3)], {"int64_vocabulary": [1]}, types=[FLOAT], exit=3)

    numbers, texts = {4: F(1.25), 1: F(-2.75), 2: F(3e6)}, {4: "12.5", 1: "-3", 2: "7e2"}
    whole = {4: "12", 1: "-3", 2: "9007199254740993"}
    for to, kind in ("TO_FLOAT", FLOAT), ("TO_STRING", STRING), ("TO_INT64", INT64):
        for form, more in ("DENSE", {}), ("SPARSE", {"max_map": 6}):
            attrs = {"cast_to": to, "map_form": form, **more}
            yield case(f"castmap_numbers_{to}_{form}", "CastMap", [numbers], attrs, types=[kind])
            m = whole if kind == INT64 else texts
            convert = {FLOAT: float, STRING: str, INT64: int}[kind]
            y = [convert(m[i]) for i in sorted(m)] if form == "DENSE" else \
                [convert(m[i]) if i in m else {STRING: "0.f"}.get(kind, 0) for i in range(6)]
            yield case(f"castmap_texts_{to}_{form}", "CastMap", [m], attrs, types=[kind],
                       expected=[np.array([y]) if kind == STRING else np.array([y], F if kind == FLOAT else L)])
    yield case("castmap_default", "CastMap", [numbers], types=[FLOAT])
    sparse = {"map_form": "SPARSE", "max_map": 4}
    yield case("castmap_beyond", "CastMap", [numbers], sparse, types=[FLOAT], exit=3)
    yield case("castmap_negative", "CastMap", [{-1: F(1)}], sparse, types=[FLOAT], exit=3)
    yield case("castmap_no_number", "CastMap", [{1: "x"}], types=[FLOAT], exit=3)
    yield case("castmap_words", "CastMap", [{"a": F(1)}], types=[FLOAT], exit=3)
    yield case("castmap_word", "CastMap", [numbers], {"cast_to": "TO_DOUBLE"}, types=[FLOAT], exit=3)
    yield case("castmap_form", "CastMap", [numbers], {"map_form": "TIGHT"}, types=[FLOAT], exit=3)
    yield case("castmap_huge", "CastMap", [numbers], {"map_form": "SPARSE", "max_map": 1 << 61}, types=[FLOAT], exit=5)
    yield case("castmap_nothing", "CastMap", [numbers], {"map_form": "SPARSE", "max_map": 0}, types=[FLOAT], exit=3)

    for tag, labels_, key in ("words", {"classlabels_strings": ["cat", "dog", "ant"]}, STRING), \
            ("numbers", {"classlabels_int64s": [10, -20, 30]}, INT64):
        for name, shape in ("table", (4, 3)), ("vector", (3,)), ("no_rows", (0, 3)), ("many", (3000, 3)):
            yield case(f"zip_{tag}_{name}", "ZipMap", [table(F, *shape)], labels_, types=sequence_of(key))
        yield case(f"zip_{tag}_columns", "ZipMap", [table(F, 4, 2)], labels_, types=sequence_of(key), exit=3)
        yield case(f"zip_{tag}_cube", "ZipMap", [table(F, 4, 2, 3)], labels_, types=sequence_of(key), exit=3)
        yield case(f"zip_{tag}_f64", "ZipMap", [table(D, 4, 3)], labels_, types=sequence_of(key), exit=4)
    yield case("zip_repeated", "ZipMap", [table(F, 4, 4)], {"classlabels_int64s": [1, 2, 1, 3]}, types=sequence_of(INT64))
    yield case("zip_no_labels", "ZipMap", [table(F, 4, 3)], types=sequence_of(INT64), exit=3)


def cases():
    for family in (columns, scales, imputer, labels, onehot, maps):
        yield from family()
