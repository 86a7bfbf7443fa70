# SPDX-License-Identifier: Apache-2.0
"""Small models that tests run: tiny.py DIR writes NAME.onnx for each function of the table below.

    mlp conv encoder tied cache   weights, symbolic dims; cache has a past and a present
    products                 matrix products that can be cut in several ways
    same_dim dims late       dims that must agree, that fold away, that only running tells
    loop_forever loop_sum scan_sum if_else sequence maps optional_input text
    known_if loop_of_ones    a condition known at load; a body that takes [1] where most take scalars
    expand_bomb grow         as much memory as the input says; an output that depends on it
    deep_functions           functions within functions, which take long to expand
    external                 weights in external.bin
    unsupported wrong_graph  refused with exit status 4 and 3
"""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from onnxfile import *  # noqa: E402,F403

FOREVER = (1 << 63) - 1


def numbers(n, seed, scale=1.0):
    """n numbers in [-scale, scale), the same everywhere (a linear congruential generator, Knuth's)."""
    out, state = [], seed
    for _ in range(n):
        state = (state * 6364136223846793005 + 1442695040888963407) % (1 << 64)
        out.append(((state >> 40) / (1 << 23) - 1) * scale)
    return out


def weight(name, dims, seed, scale=0.4):
    n = 1
    for d in dims:
        n *= d
    return tensor(FLOAT, dims, numbers(n, seed, scale), name)


def ints(name, values):
    return tensor(INT64, [len(values)], values, name)


def scalar(name, value):
    return tensor(INT64, [], [value], name)


def mlp():
    return model(graph(
        [node("MatMul", ["x", "w0"], ["a"]), node("Add", ["a", "b0"], ["b"]), node("Relu", ["b"], ["c"]),
         node("Gemm", ["c", "w1", "b1"], ["d"], transB=1), node("Softmax", ["d"], ["y"], axis=-1)],
        [info("x", FLOAT, ["batch", 8])], [info("y", FLOAT, ["batch", 12])],
        [weight("w0", [8, 16], 1), weight("b0", [16], 2), weight("w1", [12, 16], 3), weight("b1", [12], 4)]),
        metadata=[("author", "a test")])


def conv():
    return model(graph(
        [node("Conv", ["x", "w0", "b0"], ["a"], pads=[1, 1, 1, 1], strides=[2, 2]),
         node("BatchNormalization", ["a", "s", "t", "m", "v"], ["b"]), node("Relu", ["b"], ["c"]),
         node("Conv", ["c", "w1"], ["d"], group=8, kernel_shape=[3, 3]),
         node("MaxPool", ["d"], ["e"], kernel_shape=[2, 2], strides=[2, 2]),
         node("Conv", ["e", "w2"], ["f"]), node("GlobalAveragePool", ["f"], ["g"]),
         node("Flatten", ["g"], ["h"]), node("Gemm", ["h", "w3"], ["y"])],
        [info("x", FLOAT, ["batch", 3, 16, 16])], [info("y", FLOAT, ["batch", 10])],
        [weight("w0", [8, 3, 3, 3], 1), weight("b0", [8], 2), weight("s", [8], 3), weight("t", [8], 4),
         weight("m", [8], 5), tensor(FLOAT, [8], [1 + i / 8 for i in range(8)], "v"),
         weight("w1", [8, 1, 3, 3], 6), weight("w2", [20, 8, 1, 1], 7), weight("w3", [20, 10], 8)]))


def encoder():
    """A layer of attention over ids, with the Shape and Reshape chains that exporters write."""
    nodes = [node("Gather", ["table", "ids"], ["e"]),
             node("Shape", ["ids"], ["shape"]), node("Gather", ["shape", "zero"], ["b"]),
             node("Gather", ["shape", "one"], ["s"]),
             node("Unsqueeze", ["b", "axis0"], ["b1"]), node("Unsqueeze", ["s", "axis0"], ["s1"]),
             node("Concat", ["b1", "s1", "heads", "depth"], ["split"], axis=0),
             node("Concat", ["b1", "s1", "width"], ["join"], axis=0)]
    for x in "qkv":
        nodes += [node("MatMul", ["e", "w" + x], [x + "0"]), node("Reshape", [x + "0", "split"], [x + "1"]),
                  node("Transpose", [x + "1"], [x], perm=[0, 2, 3, 1] if x == "k" else [0, 2, 1, 3])]
    nodes += [node("MatMul", ["q", "k"], ["scores"]), node("Div", ["scores", "root"], ["scaled"]),
              node("Cast", ["mask"], ["m0"], to=FLOAT), node("Sub", ["f1", "m0"], ["m1"]),
              node("Mul", ["m1", "low"], ["m2"]), node("Unsqueeze", ["m2", "axes12"], ["m3"]),
              node("Add", ["scaled", "m3"], ["masked"]), node("Softmax", ["masked"], ["p"], axis=-1),
              node("MatMul", ["p", "v"], ["o"]), node("Transpose", ["o"], ["o1"], perm=[0, 2, 1, 3]),
              node("Reshape", ["o1", "join"], ["o2"]), node("Add", ["o2", "e"], ["r"]),
              node("LayerNormalization", ["r", "g", "gb"], ["n"], axis=-1),
              node("MatMul", ["n", "wu"], ["u"]), node("Div", ["u", "root2"], ["u1"]),
              node("Erf", ["u1"], ["u2"]), node("Add", ["u2", "f1"], ["u3"]), node("Mul", ["u", "u3"], ["u4"]),
              node("Mul", ["u4", "half"], ["u5"]), node("MatMul", ["u5", "wd"], ["y"])]
    constants = [weight("table", [100, 16], 1), weight("wq", [16, 16], 2), weight("wk", [16, 16], 3),
                 weight("wv", [16, 16], 4), weight("g", [16], 5), weight("gb", [16], 6),
                 weight("wu", [16, 32], 7), weight("wd", [32, 16], 8), scalar("zero", 0), scalar("one", 1),
                 ints("axis0", [0]), ints("axes12", [1, 2]), ints("heads", [2]), ints("depth", [8]),
                 ints("width", [16]), tensor(FLOAT, [], [8 ** 0.5], "root"), tensor(FLOAT, [], [1.0], "f1"),
                 tensor(FLOAT, [], [-10000.0], "low"), tensor(FLOAT, [], [2 ** 0.5], "root2"),
                 tensor(FLOAT, [], [0.5], "half")]
    return model(graph(nodes, [info("ids", INT64, ["batch", "sequence"]), info("mask", INT64, ["batch", "sequence"])],
                       [info("y", FLOAT, ["batch", "sequence", 16])], constants))


def products():
    """Products large enough to be cut in different ways: constant, plain and transposed B, batches."""
    wave = [node("Range", ["zero", "end", "one"], ["r"]), node("Cast", ["r"], ["r0"], to=FLOAT),
            node("Sin", ["r0"], ["r1"]), node("Reshape", ["r1", "wide"], ["w"])]
    return model(graph(
        wave + [node("MatMul", ["a", "w"], ["y0"]), node("MatMul", ["a", "b"], ["y1"]),
                node("Gemm", ["a", "w", "c"], ["y2"], alpha=0.5), node("Gemm", ["b", "a"], ["y3"], transA=1, transB=1),
                node("MatMul", ["p", "q"], ["y4"])],
        [info("a", FLOAT, ["m", 300]), info("b", FLOAT, [300, "n"]), info("c", FLOAT, [700]),
         info("p", FLOAT, [2, "m", 40]), info("q", FLOAT, [2, 40, "n"])],
        [info("y0", FLOAT, ["m", 700]), info("y1", FLOAT, ["m", "n"]), info("y2", FLOAT, ["m", 700]),
         info("y3", FLOAT, ["n", "m"]), info("y4", FLOAT, [2, "m", "n"])],
        [scalar("zero", 0), scalar("one", 1), scalar("end", 210000), ints("wide", [300, 700])]))


def tied():
    """A table that is looked up, and whose transpose makes the scores."""
    return model(graph(
        [node("Gather", ["table", "ids"], ["e"]), node("Tanh", ["e"], ["h"]),
         node("Transpose", ["table"], ["turned"], perm=[1, 0]), node("MatMul", ["h", "turned"], ["y"])],
        [info("ids", INT64, ["batch", "sequence"])], [info("y", FLOAT, ["batch", "sequence", 100])],
        [weight("table", [100, 16], 1)]))


def cache():
    """New tokens attend to all: present is past and new along axis 2."""
    return model(graph(
        [node("MatMul", ["x", "wk"], ["k0"]), node("Unsqueeze", ["k0", "axis1"], ["k"]),
         node("Concat", ["past_key_values.0.key", "k"], ["present.0.key"], axis=2),
         node("MatMul", ["x", "wv"], ["v0"]), node("Unsqueeze", ["v0", "axis1"], ["v"]),
         node("Concat", ["past_key_values.0.value", "v"], ["present.0.value"], axis=2),
         node("MatMul", ["x", "wq"], ["q0"]), node("Unsqueeze", ["q0", "axis1"], ["q"]),
         node("Transpose", ["present.0.key"], ["kt"], perm=[0, 1, 3, 2]), node("MatMul", ["q", "kt"], ["s"]),
         node("Softmax", ["s"], ["p"], axis=-1), node("MatMul", ["p", "present.0.value"], ["o"]),
         node("Squeeze", ["o", "axis1"], ["y"])],
        [info("x", FLOAT, ["batch", "sequence", 4])] +
        [info(f"past_key_values.0.{x}", FLOAT, ["batch", 1, "past", 4]) for x in ("key", "value")],
        [info("y", FLOAT, ["batch", "sequence", 4])] +
        [info(f"present.0.{x}", FLOAT, ["batch", 1, "total", 4]) for x in ("key", "value")],
        [weight("wq", [4, 4], 1), weight("wk", [4, 4], 2), weight("wv", [4, 4], 3), ints("axis1", [1])]))


def same_dim():
    return model(graph([node("Add", ["a", "b"], ["y"])],
                       [info("a", FLOAT, ["n", 4]), info("b", FLOAT, ["n", 4])], [info("y", FLOAT, ["n", 4])]))


def dims():
    return model(graph(
        [node("Shape", ["x"], ["s"]), node("Gather", ["s", "one"], ["n"]),
         node("Concat", ["rest", "n"], ["to"], axis=0), node("Reshape", ["x", "to"], ["y"])],
        [info("x", FLOAT, ["a", "b"])], [info("y", FLOAT, None)], [ints("one", [1]), ints("rest", [-1])]))


def late():
    return model(graph(
        [node("NonZero", ["x"], ["i"]), node("Transpose", ["i"], ["t"]), node("GatherND", ["x", "t"], ["y"])],
        [info("x", FLOAT, ["n"])], [info("y", FLOAT, ["found"])]))


def loop(trips, body, inputs, outputs):
    return node("Loop", [trips, "go"] + inputs, outputs, body=("graph", body))


def loop_forever():
    body = graph([node("Add", ["v", "step"], ["w"]), node("Identity", ["c"], ["d"])],
                 [info("i", INT64, []), info("c", BOOL, []), info("v", FLOAT, [1])],
                 [info("d", BOOL, []), info("w", FLOAT, [1])], name="body")
    return model(graph([loop("trips", body, ["x"], ["y"])], [info("x", FLOAT, [1])], [info("y", FLOAT, [1])],
                       [tensor(INT64, [], [FOREVER], "trips"), tensor(BOOL, [], [True], "go"),
                        tensor(FLOAT, [1], [0.5], "step")]))


def loop_sum():
    """n trips; carries a sum and collects each of its values."""
    body = graph([node("Add", ["v", "x"], ["w"]), node("Identity", ["w"], ["each"]), node("Identity", ["c"], ["d"])],
                 [info("i", INT64, []), info("c", BOOL, []), info("v", FLOAT, ["k"])],
                 [info("d", BOOL, []), info("w", FLOAT, ["k"]), info("each", FLOAT, ["k"])], name="body")
    return model(graph([loop("trips", body, ["x"], ["y", "all"])],
                       [info("trips", INT64, []), info("x", FLOAT, ["k"])],
                       [info("y", FLOAT, ["k"]), info("all", FLOAT, ["n", "k"])],
                       [tensor(BOOL, [], [True], "go")]))


def scan_sum():
    body = graph([node("Add", ["state", "row"], ["next"]), node("Identity", ["next"], ["each"])],
                 [info("state", FLOAT, [3]), info("row", FLOAT, [3])],
                 [info("next", FLOAT, [3]), info("each", FLOAT, [3])], name="body")
    return model(graph([node("Scan", ["start", "x"], ["y", "all"], body=("graph", body), num_scan_inputs=1)],
                       [info("x", FLOAT, ["n", 3])], [info("y", FLOAT, [3]), info("all", FLOAT, ["n", 3])],
                       [tensor(FLOAT, [3], [0.0, 1.0, 2.0], "start")]))


def if_else():
    one = graph([node("Neg", ["x"], ["t"])], [], [info("t", FLOAT, ["n"])], name="then")
    two = graph([node("Concat", ["x", "x"], ["f"], axis=0)], [], [info("f", FLOAT, ["m"])], name="else")
    return model(graph([node("If", ["c"], ["y"], then_branch=("graph", one), else_branch=("graph", two))],
                       [info("c", BOOL, []), info("x", FLOAT, ["n"])], [info("y", FLOAT, None)]))


def known_if():
    """Exporters write both branches; dim 1 is 3, so that the first can never run."""
    one = graph([node("Squeeze", ["x", "axis1"], ["t"])], [], [info("t", FLOAT, ["n"])], name="then")
    two = graph([node("Neg", ["x"], ["f"])], [], [info("f", FLOAT, ["n", 3])], name="else")
    return model(graph(
        [node("Shape", ["x"], ["s"]), node("Gather", ["s", "one"], ["width"]), node("Equal", ["width", "one"], ["c"]),
         node("If", ["c"], ["z"], then_branch=("graph", one), else_branch=("graph", two)),
         node("Concat", ["z", "z"], ["y"], axis=1)],
        [info("x", FLOAT, ["n", 3])], [info("y", FLOAT, None)], [scalar("one", 1), ints("axis1", [1])]))


def loop_of_ones():
    """The body takes the trip number and the condition with dims [1], and relies on it."""
    body = graph([node("Concat", ["i", "v"], ["all"], axis=0), node("Slice", ["all", "zero", "two"], ["w"]),
                  node("Identity", ["c"], ["d"]), node("Cast", ["c"], ["e"], to=INT64)],
                 [info("i", INT64, [1]), info("c", BOOL, [1]), info("v", INT64, [2])],
                 [info("d", BOOL, [1]), info("w", INT64, [2]), info("e", INT64, [1])], name="body")
    return model(graph([loop("trips", body, ["x"], ["y", "each"])],
                       [info("trips", INT64, [1]), info("x", INT64, [2])],
                       [info("y", INT64, [2]), info("each", INT64, ["n", 1])],
                       [tensor(BOOL, [1], [True], "go"), ints("zero", [0]), ints("two", [2])]))


def sequence():
    return model(graph(
        [node("SplitToSequence", ["x"], ["s"], axis=0, keepdims=1), node("SequenceInsert", ["s", "x"], ["all"]),
         node("SequenceAt", ["all", "last"], ["y"]), node("SequenceLength", ["all"], ["n"])],
        [info("x", FLOAT, ["n", 2])],
        [info_of("all", sequence_type(FLOAT)), info("y", FLOAT, None), info("n", INT64, [])], [scalar("last", -1)]))


def maps():
    """A map in, a sequence of maps out."""
    numbers = tensor_type(FLOAT, [])
    return model(graph(
        [node("ZipMap", ["x"], ["z"], "ai.onnx.ml", classlabels_strings=["cat", "dog"]),
         node("DictVectorizer", ["m"], ["v"], "ai.onnx.ml", int64_vocabulary=[3, 1, 2]),
         node("CastMap", ["m"], ["t"], "ai.onnx.ml", cast_to="TO_STRING")],
        [info("x", FLOAT, ["n", 2]), info_of("m", map_type(INT64, numbers))],
        [info_of("z", sequence_of(map_type(STRING, numbers))), info("v", FLOAT, [1, 3]), info("t", STRING, [1, "k"])]),
        domains=["ai.onnx.ml"])


def optional_input():
    return model(graph([node("OptionalHasElement", ["o"], ["y"])],
                       [info_of("o", optional_type(tensor_type(FLOAT, [2])))], [info("y", BOOL, [])]), opset=18)


def text():
    return model(graph([node("Identity", ["x"], ["y"])], [info("x", STRING, ["n"])], [info("y", STRING, ["n"])]))


def expand_bomb():
    """As many floats as the input says, several times over."""
    return model(graph(
        [node("ConstantOfShape", ["n"], ["a"], value=tensor(FLOAT, [1], [1.0])), node("Neg", ["a"], ["b"]),
         node("Add", ["a", "b"], ["c"]), node("ReduceSum", ["c"], ["y"], keepdims=0)],
        [info("n", INT64, [1])], [info("y", FLOAT, [])]))


def grow():
    """The sum and a matrix product of an [n, n] input."""
    return model(graph([node("MatMul", ["x", "x"], ["a"]), node("Exp", ["a"], ["b"]), node("Sub", ["b", "a"], ["y"])],
                       [info("x", FLOAT, ["n", "n"])], [info("y", FLOAT, ["n", "n"])]))


def functions():
    body = [node("Mul", ["a", "a"], ["b"]), node("Add", ["b", "a"], ["c"])]
    return model(graph([node("Square", ["x"], ["y"], domain="test")],
                       [info("x", FLOAT, ["n"])], [info("y", FLOAT, ["n"])]),
                 domains=["test"], functions=[function("Square", "test", ["a"], ["c"], body)])


def deep_functions(depth=16):
    """Each function calls the one before it twice: 65536 nodes in a small file."""
    made = [function("F0", "test", ["a"], ["b"], [node("Neg", ["a"], ["b"])])]
    for i in range(1, depth + 1):
        body = [node(f"F{i - 1}", ["a"], ["t"], domain="test"), node(f"F{i - 1}", ["t"], ["b"], domain="test")]
        made.append(function(f"F{i}", "test", ["a"], ["b"], body).replace(
            block(9, number(2, 17)), block(9, number(2, 17)) + block(9, block(1, "test") + number(2, 1))))
    return model(graph([node(f"F{depth}", ["x"], ["y"], domain="test")],
                       [info("x", FLOAT, ["n"])], [info("y", FLOAT, ["n"])]), domains=["test"], functions=made)


def names():
    """Names with bytes that no file name should have."""
    return model(graph([node("Identity", ["in/put:0"], ["../out put:0"])],
                       [info("in/put:0", FLOAT, [2])], [info("../out put:0", FLOAT, [2])]))


def quantized():
    return model(graph(
        [node("QuantizeLinear", ["x", "s", "z"], ["q"]), node("DequantizeLinear", ["q", "s", "z"], ["y"])],
        [info("x", FLOAT, ["n"])], [info("q", UINT8, ["n"]), info("y", FLOAT, ["n"])],
        [tensor(FLOAT, [], [0.05], "s"), tensor(UINT8, [], [20], "z")]))


def unsupported():
    return model(graph([node("NoSuchOperator", ["x"], ["a"], name="first"), node("Other", ["a"], ["y"], domain="my.own")],
                       [info("x", FLOAT, [2])], [info("y", FLOAT, [2])]), domains=["my.own"])


def wrong_graph():
    return model(graph([node("Add", ["x", "nowhere"], ["y"])], [info("x", FLOAT, [2])], [info("y", FLOAT, [2])]))


EXTERNAL = numbers(64, 9)


def external_weights():
    return model(graph([node("MatMul", ["x", "w"], ["y"])], [info("x", FLOAT, ["n", 8])], [info("y", FLOAT, ["n", 8])],
                       [external(FLOAT, [8, 8], "w", "external.bin", 0, 256)]))


MODELS = {"mlp": mlp, "conv": conv, "encoder": encoder, "tied": tied, "products": products, "cache": cache, "same_dim": same_dim, "dims": dims,
          "late": late, "loop_forever": loop_forever, "loop_sum": loop_sum, "scan_sum": scan_sum,
          "if_else": if_else, "known_if": known_if, "loop_of_ones": loop_of_ones, "sequence": sequence, "maps": maps, "optional_input": optional_input, "text": text,
          "expand_bomb": expand_bomb, "grow": grow, "functions": functions, "deep_functions": deep_functions, "names": names,
          "quantized": quantized, "unsupported": unsupported, "wrong_graph": wrong_graph,
          "external": external_weights}


def write(folder):
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, make in MODELS.items():
        (folder / f"{name}.onnx").write_bytes(make())
    (folder / "external.bin").write_bytes(elements(FLOAT, EXTERNAL))


if __name__ == "__main__":
    write(sys.argv[1])
