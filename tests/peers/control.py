# SPDX-License-Identifier: Apache-2.0
"""ai.onnx: sequences, optionals, control flow, text and pictures: whole small graphs where one node cannot say it."""
import numpy as np
from onnx import TensorProto, helper

from peers import case as any_case

F, L, I = np.float32, np.int64, np.int32
FLOAT, INT64, STRING, BOOL, UINT8 = TensorProto.FLOAT, TensorProto.INT64, TensorProto.STRING, TensorProto.BOOL, TensorProto.UINT8
random = np.random.default_rng(34)


def case(name, op, inputs, attrs=None, **more):
    return any_case(name, op, inputs, attrs, domain="", **{"opset": 20, **more})


def node(op, inputs, outputs, **attrs):
    names = [x if x != "-" else "" for x in inputs.split()]
    return helper.make_node(op, names, outputs.split(), **attrs)


def graph(name, op, inputs, nodes, **more):
    return case(name, op, inputs, nodes=nodes, **more)


def info(name, kind=FLOAT, dims=None):
    return helper.make_tensor_value_info(name, kind, dims)


def rand(*dims):
    return random.standard_normal(dims).astype(F)


def sequences():
    a, b, c = rand(2, 3), rand(1, 3), rand(2, 3)
    make = node("SequenceConstruct", "x0 x1", "s")
    listed = helper.make_sequence_type_proto(helper.make_tensor_type_proto(FLOAT, None))
    whole = {"outputs": ("y",), "types": [listed]}
    yield graph("construct", "SequenceConstruct", [a, b], [node("SequenceConstruct", "x0 x1", "y")], expected=[[a, b]], **whole)
    yield graph("empty", "SequenceEmpty", [a], [node("SequenceEmpty", "", "s"), node("SequenceInsert", "s x0", "y")], expected=[[a]], **whole)
    yield graph("empty_length", "SequenceEmpty", [], [node("SequenceEmpty", "", "s", dtype=INT64), node("SequenceLength", "s", "y")],
                expected=[np.array(0)], types=[INT64], symbolic=False)
    for i in (0, 1, 2, -1, -2):
        at = np.array(i)
        want = [a, b]
        want.insert(i if i >= 0 else 2 + i, c)
        yield graph(f"insert_{i}", "SequenceInsert", [a, b, c, at], [make, node("SequenceInsert", "s x2 x3", "y")], expected=[want], **whole)
    yield graph("insert_end", "SequenceInsert", [a, b, c], [make, node("SequenceInsert", "s x2", "y")], expected=[[a, b, c]], **whole)
    for i in (3, -3):
        yield graph(f"insert_{i}", "SequenceInsert", [a, b, c, np.array(i)], [make, node("SequenceInsert", "s x2 x3", "y")], exit=3, **whole)
    yield graph("insert_type", "SequenceInsert", [a, b, np.array([1])], [make, node("SequenceInsert", "s x2", "y")], exit=3, **whole)
    for i in (0, 1, -1, -2):
        at = np.array(i, I)
        yield graph(f"at_{i}", "SequenceAt", [a, b, at], [make, node("SequenceAt", "s x2", "y")], expected=[[a, b][i]])
        yield graph(f"erase_{i}", "SequenceErase", [a, b, at], [make, node("SequenceErase", "s x2", "y")],
                    expected=[[[a, b][1 - i % 2]]], **whole)
    for i in (2, -3):
        yield graph(f"at_{i}", "SequenceAt", [a, b, np.array(i)], [make, node("SequenceAt", "s x2", "y")], exit=3)
        yield graph(f"erase_{i}", "SequenceErase", [a, b, np.array(i)], [make, node("SequenceErase", "s x2", "y")], exit=3, **whole)
    yield graph("erase_last", "SequenceErase", [a, b], [make, node("SequenceErase", "s", "y")], expected=[[a]], **whole)
    yield graph("kept", "SequenceInsert", [a, b, c], [make, node("SequenceInsert", "s x2", "t"), node("SequenceLength", "s", "y"),
                node("SequenceLength", "t", "z")], outputs=("y", "z"), types=[INT64, INT64], expected=[np.array(2), np.array(3)])
    body = helper.make_graph([node("Add", "v w", "u")], "body", [info("v"), info("w")], [info("u")])
    yield graph("map", "SequenceMap", [a, b, c], [make, node("SequenceMap", "s x2", "y", body=body)], expected=[[a + c, b + c]], **whole)
    yield graph("map_pairs", "SequenceMap", [a, b], [make, node("SequenceMap", "s s", "y", body=body)], expected=[[a + a, b + b]], **whole)
    yield graph("map_empty", "SequenceMap", [a], [node("SequenceEmpty", "", "s"), node("SequenceMap", "s x0", "t", body=body),
                node("SequenceLength", "t", "y")], types=[INT64], expected=[np.array(0)])
    for axis in (0, -2):
        yield graph(f"concat_{axis}", "ConcatFromSequence", [a, b], [make, node("ConcatFromSequence", "s", "y", axis=axis)],
                    expected=[np.concatenate([a, b])])
    for axis in (0, 2, -1, -3):
        yield graph(f"stack_{axis}", "ConcatFromSequence", [a, c], [make, node("ConcatFromSequence", "s", "y", axis=axis, new_axis=1)],
                    expected=[np.stack([a, c], axis)])
    yield graph("concat_dims", "ConcatFromSequence", [a, b], [make, node("ConcatFromSequence", "s", "y", axis=1)], exit=3)
    yield graph("concat_axis", "ConcatFromSequence", [a, b], [make, node("ConcatFromSequence", "s", "y", axis=2)], exit=3)
    yield graph("concat_none", "ConcatFromSequence", [a], [node("SequenceEmpty", "", "s"), node("ConcatFromSequence", "s", "y", axis=0)],
                exit=3)
    x = rand(5, 4)
    for tag, split, attrs, want in (
            ("plain", (), {}, [x[i:i + 1] for i in range(5)]), ("squeezed", (), {"keepdims": 0}, list(x)),
            ("size", (np.array(2),), {}, [x[:2], x[2:4], x[4:]]), ("sizes", (np.array([1, 4]),), {}, [x[:1], x[1:]]),
            ("axis", (np.array(2),), {"axis": -1}, [x[:, :2], x[:, 2:]]), ("i32", (np.array([3, 2], I),), {"keepdims": 0}, [x[:3], x[3:]]),
            ("zero", (np.array([0, 5]),), {}, [x[:0], x])):
        names = "x0" if not split else "x0 x1"
        yield graph(f"split_{tag}", "SplitToSequence", [x, *split], [node("SplitToSequence", names, "y", **attrs)], expected=[want], **whole)
    for tag, split in ("sum", np.array([1, 3])), ("negative", np.array([-1, 6])), ("nothing", np.array(0)), ("below", np.array(-2)):
        yield graph(f"split_{tag}", "SplitToSequence", [x, split], [node("SplitToSequence", "x0 x1", "y")], exit=3, **whole)
    yield graph("split_axis_beyond", "SplitToSequence", [x], [node("SplitToSequence", "x0", "y", axis=2)], exit=3, **whole)


def optionals():
    x = rand(2, 3)
    get = node("OptionalGetElement", "o", "y")
    has = node("OptionalHasElement", "o", "y")
    kind = helper.make_optional_type_proto(helper.make_tensor_type_proto(FLOAT, None)).optional_type.elem_type
    none = node("Optional", "", "o", type=kind)
    yes, no = [np.array(True)], [np.array(False)]
    yield graph("optional_get", "Optional", [x], [node("Optional", "x0", "o"), get], expected=[x])
    yield graph("optional_has", "Optional", [x], [node("Optional", "x0", "o"), has], types=[BOOL], expected=yes)
    yield graph("optional_none", "OptionalHasElement", [], [none, has], types=[BOOL], expected=no, symbolic=False)
    yield graph("optional_none_get", "OptionalGetElement", [], [none, get], exit=3, symbolic=False)
    yield graph("optional_tensor", "OptionalGetElement", [x], [node("OptionalGetElement", "x0", "y")], expected=[x])
    yield graph("optional_absent", "OptionalHasElement", [], [node("OptionalHasElement", "", "y")], types=[BOOL], expected=no,
                symbolic=False)
    yield graph("optional_sequence", "Optional", [x], [node("SequenceConstruct", "x0 x0", "s"), node("Optional", "s", "o"),
                node("OptionalGetElement", "o", "t"), node("SequenceLength", "t", "y")], types=[INT64], expected=[np.array(2)])
    yield graph("optional_nothing", "Optional", [], [node("Optional", "", "o"), has], types=[BOOL], exit=3, symbolic=False)


def branches():
    x = rand(2, 3)
    yes = helper.make_graph([node("Add", "x1 x1", "a")], "yes", [], [info("a")])
    no = helper.make_graph([node("Neg", "x1", "b")], "no", [], [info("b")])
    for c in True, False:
        want = [x + x if c else -x]
        yield graph(f"if_{c}", "If", [np.array(c), x], [node("If", "x0", "y", then_branch=yes, else_branch=no)], types=[FLOAT], expected=want)
        yield graph(f"if_{c}_const", "If", [np.array(c), x], [node("If", "x0", "y", then_branch=yes, else_branch=no)], types=[FLOAT],
                    expected=want, const=[0])
        yield graph(f"if_{c}_list", "If", [np.array([c]), x], [node("If", "x0", "y", then_branch=yes, else_branch=no)], types=[FLOAT],
                    expected=want)
    yield graph("if_number", "If", [np.array(1), x], [node("If", "x0", "y", then_branch=yes, else_branch=no)], types=[FLOAT], exit=4)
    yield graph("if_many", "If", [np.array([True, False]), x], [node("If", "x0", "y", then_branch=yes, else_branch=no)], types=[FLOAT], exit=3)
    yield graph("if_half", "If", [np.array(True), x], [node("If", "x0", "y", then_branch=yes)], types=[FLOAT], exit=3)
    two = helper.make_graph([node("Neg", "x1", "b"), node("Abs", "x1", "d")], "no", [], [info("b"), info("d")])
    yield graph("if_outputs", "If", [np.array(True), x], [node("If", "x0", "y", then_branch=yes, else_branch=two)], types=[FLOAT], exit=3)

    def loop(name, n, c, v, nodes, outs=("y", "z"), expected=None, **more):
        body = helper.make_graph(nodes, "body", [info("i", INT64, []), info("c", BOOL, []), info("v")],
                                 [info("d", BOOL, []), info("w"), info("u")])
        names = [v, *([] if n is None else [np.array(n)]), *([] if c is None else [np.array(c)])]
        k = 1 + (n is not None)
        line = f"{'x1' if n is not None else '-'} {f'x{k}' if c is not None else '-'} x0"
        return graph(f"loop_{name}", "Loop", names, [node("Loop", line, " ".join(outs), body=body)], outputs=outs, types=[FLOAT] * 2,
                     expected=expected, **more)
    step = [node("Identity", "c", "d"), node("Add", "v v", "w"), node("Identity", "v", "u")]
    doubled = [x * 2**k for k in range(5)]
    yield loop("for", 4, True, x, step, expected=[doubled[4], np.stack(doubled[:4])])
    yield loop("none", 0, True, x, step, expected=[x, np.zeros((0, 2, 3), F)], symbolic=False)
    yield loop("false", 4, False, x, step, expected=[x, np.zeros((0, 2, 3), F)], symbolic=False)
    yield loop("negative", -3, True, x, step, expected=[x, np.zeros((0, 2, 3), F)], symbolic=False)
    small = [node("Add", "v v", "w"), node("Identity", "v", "u"), node("ReduceMax", "w", "m", keepdims=0),
             helper.make_node("Constant", [], ["h"], value_float=6.), node("Less", "m h", "d")]
    one = np.ones((2, 3), F)
    yield loop("while", None, True, one, small, expected=[one * 8, np.stack([one, one * 2, one * 4])])
    yield loop("both", 2, True, one, small, expected=[one * 4, np.stack([one, one * 2])])
    yield loop("count_many", [3, 4], True, x, step, exit=3)
    yield graph("loop_body", "Loop", [np.array(2), np.array(True), x], [node("Loop", "x0 x1 x2", "y", body=helper.make_graph(
        [node("Identity", "v", "w")], "body", [info("v")], [info("w")]))], exit=3)

    def scan(name, inputs, nodes, ins, outs, want, count, line=None, opset=20, names=("y", "z"), types=None, exit=0, symbolic=True, **attrs):
        body = helper.make_graph(nodes, "body", [info(n) for n in ins], [info(n) for n in outs])
        line = line or " ".join(f"x{k}" for k in range(len(inputs)))
        return graph(f"scan_{name}", "Scan", inputs, [node("Scan", line, " ".join(names), body=body, num_scan_inputs=count, **attrs)],
                     outputs=names, types=types or [FLOAT] * len(names), expected=want, opset=opset, exit=exit, symbolic=symbolic)
    total = [node("Add", "v a", "w"), node("Identity", "w", "u")]
    start, rows = rand(3), rand(4, 3)
    sums = start + np.cumsum(rows, 0)
    back = start + np.cumsum(rows[::-1], 0)
    both = (("v", "a"), ("w", "u"))
    yield scan("sum", [start, rows], total, *both, [sums[-1], sums], 1)
    yield scan("back", [start, rows], total, *both, [back[-1], back], 1, scan_input_directions=[1])
    yield scan("prepend", [start, rows], total, *both, [sums[-1], sums[::-1]], 1, scan_output_directions=[1])
    yield scan("axis", [start, rows.T.copy()], total, *both, [sums[-1], sums], 1, scan_input_axes=[-1])
    yield scan("out_axis", [start, rows], total, *both, [sums[-1], sums.T], 1, scan_output_axes=[1])
    yield scan("no_trip", [start, np.zeros((0, 3), F)], total, *both, [start, np.zeros((0, 3), F)], 1, symbolic=False)
    yield scan("nine", [start, rows], total, *both, [sums[-1], sums], 1, opset=9)
    batch, start2 = rand(2, 4, 3), rand(2, 3)
    sums8 = start2[:, None] + np.cumsum(batch, 1)
    yield scan("eight", [start2, batch], total, *both, [sums8[:, -1], sums8], 1, line="- x0 x1", opset=8)
    short = sums8.copy()
    short[0, 2:] = 0
    yield scan("eight_lengths", [start2, batch, np.array([2, 4])], total, *both, [np.stack([sums8[0, 1], sums8[1, 3]]), short], 1,
               line="x2 x0 x1", opset=8)
    back8 = start2[:, None] + np.cumsum(batch[:, ::-1], 1)
    yield scan("eight_back", [start2, batch], total, *both, [back8[:, -1], back8], 1, line="- x0 x1", opset=8, directions=[1])
    yield scan("eight_long", [start2, batch, np.array([2, 5])], total, *both, None, 1, line="x2 x0 x1", opset=8, exit=3)
    yield scan("count", [start, rows], total, *both, None, 3, exit=3)
    yield scan("lengths", [start, rows, rand(5, 3)], [node("Add", "v a", "w"), node("Add", "w b", "u")], ("v", "a", "b"), ("w", "u"), None, 2,
               exit=3)
    yield scan("axis_beyond", [start, rows], total, *both, None, 1, exit=3, scan_input_axes=[2])
    yield scan("axes_length", [start, rows], total, *both, None, 1, exit=3, scan_input_axes=[0, 0])
    yield scan("direction", [start, rows], total, *both, None, 1, exit=3, scan_input_directions=[2])


def t(x):
    return np.array(x, dtype=object)


def texts():
    yield case("strings_concat", "StringConcat", [t([["a", ""], ["é", "日本"]]), t(["x", "y"])], expected=[t([["ax", "y"], ["éx", "日本y"]])])
    yield case("strings_scalar", "StringConcat", [t("a"), t("b")], expected=[t("ab")])
    yield case("strings_empty", "StringConcat", [np.zeros((0, 2), object), t(["x", "y"])], types=[STRING], symbolic=False,
               expected=[np.zeros((0, 2), object)])
    yield case("strings_dims", "StringConcat", [t(["a", "b"]), t(["a", "b", "c"])], exit=3)
    yield case("strings_number", "StringConcat", [np.array([1]), np.array([1])], exit=4)
    two = {"outputs": ("y", "n"), "types": [STRING, INT64]}
    yield case("split_text_comma", "StringSplit", [t(["a,b,c", "d", ""])], {"delimiter": ","}, **two,
               expected=[t([["a", "b", "c"], ["d", "", ""], ["", "", ""]]), np.array([3, 1, 1])], )
    yield case("split_text_space", "StringSplit", [t(["  a b  c ", "", " \t\n"])], **two,
               expected=[t([["a", "b", "c"], ["", "", ""], ["", "", ""]]), np.array([3, 0, 0])])
    yield case("split_text_most", "StringSplit", [t([["a-b-c-d"], ["e"]])], {"delimiter": "-", "maxsplit": 2}, **two,
               expected=[t([[["a", "b", "c-d"]], [["e", "", ""]]]), np.array([[3], [1]])])
    yield case("split_text_word", "StringSplit", [t(["a<>b<>", "<>"])], {"delimiter": "<>"}, **two,
               expected=[t([["a", "b", ""], ["", "", ""]]), np.array([3, 2])])
    yield case("split_text_number", "StringSplit", [np.array([1])], exit=4, **two)

    words = t(["Straße", "ÉCOLE", "the", "İstanbul", "ǅ", "ΑΣ", "日本"])
    for how, fn in ("LOWER", str.lower), ("UPPER", str.upper):
        simple = {"LOWER": ["straße", "école", "the", "ǆ", "日本"], "UPPER": ["ÉCOLE", "THE", "Ǆ", "日本"]}[how]
        given = t(["Straße", "ÉCOLE", "the", "ǅ", "日本"] if how == "LOWER" else ["École", "the", "ǅ", "日本"])
        yield case(f"normal_{how}", "StringNormalizer", [given], {"case_change_action": how, "is_case_sensitive": 1}, expected=[t(simple)])
        assert [fn(x) for x in given] == simple
    yield case("normal_none", "StringNormalizer", [words], expected=[words])
    yield case("normal_stop", "StringNormalizer", [words], {"stopwords": ["the", "école"], "is_case_sensitive": 1},
               expected=[t([w for w in words if w != "the"])])
    yield case("normal_stop_any", "StringNormalizer", [words], {"stopwords": ["THE", "école"], "is_case_sensitive": 0},
               expected=[t([w for w in words if w not in ("the", "ÉCOLE")])])
    yield case("normal_all", "StringNormalizer", [t(["a", "a"])], {"stopwords": ["a"], "is_case_sensitive": 1}, expected=[t([""])])
    yield case("normal_row", "StringNormalizer", [t([["A", "the"]])], {"stopwords": ["the"], "case_change_action": "LOWER",
               "is_case_sensitive": 1}, expected=[t([["a"]])])
    yield case("normal_rows", "StringNormalizer", [t([["a"], ["b"]])], exit=3)
    yield case("normal_action", "StringNormalizer", [words], {"case_change_action": "BEST"}, exit=3)

    yield case("regex", "RegexFullMatch", [t([["ab1", "b"], ["", "ab12"]])], {"pattern": r"[a-z]+\d+"}, types=[BOOL],
               expected=[np.array([[True, False], [False, True]])])
    yield case("regex_utf8", "RegexFullMatch", [t(["é", "éé", "日"])], {"pattern": "."}, types=[BOOL], expected=[np.array([True, False, True])])
    yield case("regex_scalar", "RegexFullMatch", [t("a")], {"pattern": "a|b"}, types=[BOOL], expected=[np.array(True)])
    for k, pattern in enumerate(["(", "[a", "a**", "\\", "(?P<x", "a{2,1}"]):
        yield case(f"regex_wrong_{k}", "RegexFullMatch", [t(["a"])], {"pattern": pattern}, types=[BOOL], exit=3)
    yield case("regex_bytes", "RegexFullMatch", [t([b"\xff\xfe", b"a"])], {"pattern": "a"}, types=[BOOL], expected=[np.array([False, True])])
    yield case("regex_number", "RegexFullMatch", [np.array([1])], {"pattern": "a"}, types=[BOOL], exit=4)

    grams = {"min_gram_length": 1, "max_gram_length": 2, "max_skip_count": 1, "ngram_counts": [0, 2], "ngram_indexes": [0, 1, 2, 3]}
    pool = {"pool_int64s": [2, 3, 5, 4, 7, 8], **grams}
    for mode in "TF", "IDF", "TFIDF":
        for tag, x in ("list", np.array([2, 3, 5, 4, 7, 8, 5])), ("rows", np.array([[5, 9, 4, 2], [7, 7, 8, 8]])), ("i32", np.array([2, 5, 4], I)):
            yield case(f"grams_{mode}_{tag}", "TfIdfVectorizer", [x], {"mode": mode, **pool, **({} if mode == "TF" else {"weights": [1., 2, 3, .5]})},
                       types=[FLOAT])
    yield case("grams_text", "TfIdfVectorizer", [t(["a", "b", "a", "c"])], {"mode": "TF", "pool_strings": ["a", "c", "a", "b", "b", "c"], **grams},
               types=[FLOAT])
    yield case("grams_empty", "TfIdfVectorizer", [np.zeros(0, L)], {"mode": "TF", **pool}, types=[FLOAT], expected=[np.zeros(4, F)])
    for tag, change in (("mode", {"mode": "X"}), ("counts", {"ngram_counts": [0, 9]}), ("indexes", {"ngram_indexes": [0, 1]}),
                        ("negative", {"ngram_indexes": [0, 1, 2, -1]}), ("lengths", {"min_gram_length": 3}), ("skip", {"max_skip_count": -1}),
                        ("weights", {"mode": "IDF", "weights": [1.]})):
        yield case(f"grams_bad_{tag}", "TfIdfVectorizer", [np.array([2, 3])], {"mode": "TF", **pool, **change}, types=[FLOAT], exit=3)
    yield case("grams_rank", "TfIdfVectorizer", [np.zeros((1, 2, 3), L)], {"mode": "TF", **pool}, types=[FLOAT], exit=3)

    pixel = b"P6\n1 1\n255\n\x01\x02\x03"
    yield case("picture_ppm", "ImageDecoder", [np.frombuffer(pixel, np.uint8)], expected=[np.array([[[1, 2, 3]]], np.uint8)], types=[UINT8])
    yield case("picture_bgr", "ImageDecoder", [np.frombuffer(pixel, np.uint8)], {"pixel_format": "BGR"},
               expected=[np.array([[[3, 2, 1]]], np.uint8)], types=[UINT8])
    # What cannot be decoded gives an empty picture, says the specification.
    for tag, raw in (("noise", bytes(range(200))), ("nothing", b""), ("png", b"\x89PNG\r\n\x1a\n" + bytes(40)), ("jpeg", b"\xff\xd8\xff\xe0" + bytes(30)),
                     ("bmp", b"BM" + b"\xff" * 60), ("webp", b"RIFF\xff\xff\xff\xffWEBPVP8 " + bytes(9))):
        yield case(f"picture_{tag}", "ImageDecoder", [np.frombuffer(raw, np.uint8)], types=[UINT8],
                   expected=[np.zeros((0, 0, 3), np.uint8)])
    huge = np.frombuffer(b"P6\n999999999 999999999\n255\n", np.uint8)
    yield case("picture_huge", "ImageDecoder", [huge], types=[UINT8], exit=5)
    yield case("picture_format", "ImageDecoder", [np.frombuffer(pixel, np.uint8)], {"pixel_format": "CMYK"}, types=[UINT8], exit=3)
    yield case("picture_rank", "ImageDecoder", [np.zeros((2, 2), np.uint8)], types=[UINT8], exit=3)
    yield case("picture_type", "ImageDecoder", [np.zeros(4, I)], types=[UINT8], exit=4)


def cases():
    for family in sequences, optionals, branches, texts:
        yield from family()
