# SPDX-License-Identifier: Apache-2.0
"""Trees, support vector machines and linear models of ai.onnx.ml."""
import numpy as np
from onnx import TensorProto, helper, numpy_helper

from peers import case

ML = "ai.onnx.ml"
F32, I64, STR = TensorProto.FLOAT, TensorProto.INT64, TensorProto.STRING
POSTS = ["NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT"]
MODES = ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ"]


# Near a half onnxruntime's PROBIT loses digits, as it computes in f32.
PROBIT_ATOL = 2e-4


def f32(*values):
    return np.array(values, np.float32)


def tolerance(attrs):
    return PROBIT_ATOL if attrs.get("post_transform") == "PROBIT" else 1e-5


# ---- forests -------------------------------------------------------------------------------------


class Forest:
    """Random trees over integer-like thresholds, so that inputs meet them exactly. self.nodes are
    (tree, id, mode, feature, value, missing, yes, no), self.votes (tree, id, target, weight)."""

    def __init__(self, seed, trees=5, depth=4, features=6, targets=1, modes=("BRANCH_LEQ",), missing=0.0,
                 positive=False, votes=1, first_target=0):
        self.rng = np.random.default_rng(seed)
        self.features, self.targets, self.modes, self.missing = features, targets, modes, missing
        self.positive, self.n_votes, self.first_target = positive, votes, first_target
        self.nodes, self.votes = [], []
        for tree in range(trees):
            self.count = 0
            self.grow(tree, depth)

    def grow(self, tree, depth):
        me, self.count = self.count, self.count + 1
        at = len(self.nodes)
        self.nodes.append(None)
        if depth == 0 or (depth < 3 and self.rng.random() < 0.3):
            self.nodes[at] = (tree, me, "LEAF", 0, 0.0, 0, 0, 0)
            for target in self.rng.choice(self.targets, min(self.n_votes, self.targets), replace=False):
                w = self.rng.random() if self.positive else self.rng.standard_normal()
                self.votes.append((tree, me, int(target) + self.first_target, float(np.float32(w))))
            return me
        yes, no = self.grow(tree, depth - 1), self.grow(tree, depth - 1)
        self.nodes[at] = (tree, me, str(self.rng.choice(self.modes)), int(self.rng.integers(self.features)),
                          float(self.rng.integers(-4, 5)) / 2, int(self.rng.random() < self.missing), yes, no)
        return me

    def attrs(self, prefix, wide=False, **more):
        tree, ids, modes, features, values, missing, yes, no = map(list, zip(*self.nodes))
        vtree, vnode, vtarget, weight = map(list, zip(*self.votes))
        a = {"nodes_treeids": tree, "nodes_nodeids": ids, "nodes_modes": modes, "nodes_featureids": features,
             "nodes_missing_value_tracks_true": missing, "nodes_truenodeids": yes, "nodes_falsenodeids": no,
             f"{prefix}_treeids": vtree, f"{prefix}_nodeids": vnode, f"{prefix}_ids": vtarget}
        for name, v in (("nodes_values", values), (f"{prefix}_weights", weight)):
            a[name + "_as_tensor" if wide else name] = numpy_helper.from_array(np.array(v)) if wide else v
        a.update(more)
        return {k: v for k, v in a.items() if v is not None}

    def sums(self, x):
        """Votes added in float64: [rows, targets + first_target]."""
        nodes = {n[:2]: n for n in self.nodes}
        out = np.zeros((len(x), self.targets + self.first_target))
        for row, v in enumerate(np.asarray(x, np.float64)):
            for tree in sorted({n[0] for n in self.nodes}):
                n = nodes[tree, 0]
                while n[2] != "LEAF":
                    a, b = v[n[3]], n[4]
                    holds = {"LEQ": a <= b, "LT": a < b, "GTE": a >= b, "GT": a > b, "EQ": a == b, "NEQ": a != b}[n[2][7:]]
                    n = nodes[tree, n[6] if holds or (np.isnan(a) and n[5]) else n[7]]
                for vote in self.votes:
                    if vote[:2] == n[:2]:
                        out[row, vote[2]] += vote[3]
        return out

    def input(self, rows, dtype=np.float32, nan=0.0):
        x = self.rng.integers(-5, 6, (rows, self.features)) / 2
        if np.dtype(dtype).kind == "f":
            x[self.rng.random(x.shape) < nan] = np.nan
        return x.astype(dtype)


def regressor(name, forest, x, *, opset=3, wide=False, expected=None, exit=0, **attrs):
    attrs.setdefault("n_targets", forest.targets)
    return case(name, "TreeEnsembleRegressor", [x], forest.attrs("target", wide, **attrs), domain=ML,
                opset=opset, types=[F32], expected=expected, exit=exit, atol=tolerance(attrs))


def classifier(name, forest, x, *, labels=None, opset=3, wide=False, expected=None, exit=0, **attrs):
    labels = list(range(10, 10 + forest.targets)) if labels is None else labels
    strings = isinstance(labels[0], str)
    attrs.setdefault("classlabels_strings" if strings else "classlabels_int64s", labels)
    return case(name, "TreeEnsembleClassifier", [x], forest.attrs("class", wide, **attrs), domain=ML, opset=opset,
                outputs=("y", "z"), types=[STR if strings else I64, F32], expected=expected, exit=exit, atol=tolerance(attrs))


def regressors():
    for mode in MODES:
        f = Forest(1, modes=[mode], missing=0.5)
        yield regressor(f"mode_{mode}", f, f.input(40, nan=0.2))
        f = Forest(2, modes=[mode])
        yield regressor(f"mode_{mode}_plain", f, f.input(9, nan=0.2))
    f = Forest(3, modes=MODES, missing=0.5, trees=20)
    for rows in (0, 1, 7, 8, 33, 70):
        yield regressor(f"rows_{rows}", f, f.input(rows, nan=0.2))
    yield regressor("rank3", f, f.input(4).reshape(2, 2, 6), exit=3)
    x = f.input(20, np.float64, nan=0.1)
    yield regressor("f64", f, x)
    yield regressor("f64_tensors", f, x, wide=True)
    yield regressor("f64_tensors_f32", f, x.astype(np.float32), wide=True, expected=[f.sums(x).astype(np.float32)])
    for dtype in (np.int32, np.int64):
        x = f.input(20, dtype)
        yield regressor(f"{np.dtype(dtype)}", f, x, expected=[f.sums(x).astype(np.float32)])
    x = f.input(1)
    yield regressor("rank1", f, x[0], expected=[f.sums(x).astype(np.float32)])
    yield regressor("opset1", f, f.input(5), opset=1)
    yield regressor("opset1_tensor", f, f.input(5), wide=True, opset=1, exit=3)
    for how in ("SUM", "AVERAGE", "MIN", "MAX"):
        for targets in (1, 3):
            f = Forest(4, targets=targets, votes=2, trees=7)
            yield regressor(f"{how}_{targets}", f, f.input(20), aggregate_function=how)
            yield regressor(f"{how}_{targets}_base", f, f.input(20), aggregate_function=how,
                            base_values=[0.5, -1.25, 2.0][:targets])
    for post in POSTS:
        f = Forest(5, targets=3, votes=3, positive=post == "PROBIT", trees=1)
        yield regressor(f"post_{post}", f, f.input(20), post_transform=post)
    # One target: every transform applies, though onnxruntime knows PROBIT alone there.
    f = Forest(6, positive=True, trees=1)
    x = f.input(20)
    s = f.sums(x)
    yield regressor("post_one_PROBIT", f, x, post_transform="PROBIT")
    yield regressor("post_one_LOGISTIC", f, x, post_transform="LOGISTIC", expected=[(1 / (1 + np.exp(-s))).astype(np.float32)])
    yield regressor("post_one_SOFTMAX", f, x, post_transform="SOFTMAX", expected=[np.ones_like(s, np.float32)])
    # Several votes of a leaf for the same target are added; onnxruntime takes the first.
    f = Forest(7)
    f.votes += [(t, n, 0, 2 * w) for t, n, _, w in f.votes]
    x = f.input(20)
    yield regressor("votes_added", f, x, expected=[f.sums(x).astype(np.float32)])
    f = Forest(8)
    f.votes = f.votes[::2]
    x = f.input(20)
    yield regressor("leaf_without_vote", f, x)
    f = Forest(9, trees=3)
    f.votes.append((0, 0, 0, 5.0))
    yield regressor("vote_of_inner_node", f, f.input(20))
    f = Forest(10, depth=0)
    yield regressor("single_leaves", f, f.input(20))
    # Ids that are not dense, trees in any order, nodes of a tree in any order behind its root.
    f = Forest(11, trees=4)
    f.nodes = [(50 - 7 * t, 3 * i, m, ft, v, ms, 3 * y, 3 * n) for t, i, m, ft, v, ms, y, n in f.nodes]
    f.votes = [(50 - 7 * t, 3 * i, g, w) for t, i, g, w in f.votes][::-1]
    x = f.input(20)
    yield regressor("ids", f, x, expected=[f.sums(x).astype(np.float32)])
    f.nodes = f.nodes[::-1]
    yield regressor("ids_reversed", f, x, expected=[f.sums(x).astype(np.float32)])


def shared_child():
    """A chain of BRANCH_EQ whose true branches are one node, as LightGBM's sets become."""
    modes = ["BRANCH_EQ"] * 3 + ["LEAF", "LEAF"]
    attrs = {"nodes_treeids": [0] * 5, "nodes_nodeids": [0, 1, 2, 3, 4], "nodes_modes": modes, "nodes_featureids": [0] * 5,
             "nodes_values": [1.0, 5.0, 40.0, 0.0, 0.0], "nodes_truenodeids": [4, 4, 4, 0, 0],
             "nodes_falsenodeids": [1, 2, 3, 0, 0], "target_treeids": [0, 0], "target_nodeids": [3, 4],
             "target_ids": [0, 0], "target_weights": [1.0, 2.0], "n_targets": 1}
    x = np.array([[1], [2], [5], [40], [np.nan]], np.float32)
    yield case("shared_child", "TreeEnsembleRegressor", [x], attrs, domain=ML, opset=3,
               expected=[f32(2, 1, 2, 2, 1).reshape(-1, 1)])


def classifiers():
    for n in (3, 5):
        for post in POSTS:
            f = Forest(20 + n, targets=n, votes=n, trees=1 if post == "PROBIT" else 9, positive=post == "PROBIT")
            yield classifier(f"classes_{n}_{post}", f, f.input(40), post_transform=post)
    f = Forest(30, targets=4, votes=2, trees=3)
    yield classifier("few_votes", f, f.input(40))
    yield classifier("few_votes_base", f, f.input(40), base_values=[0.1, -0.2, 0.3, 0.0])
    yield classifier("strings", f, f.input(40), labels=["one", "", "three", "four"])
    yield classifier("strings_rows_0", f, f.input(0), labels=["one", "", "three", "four"])
    for dtype in (np.float64, np.int32, np.int64):
        yield classifier(f"classes_{np.dtype(dtype)}", f, f.input(20, dtype))
    yield classifier("classes_f64_tensors", f, f.input(20, np.float64), wide=True)
    yield classifier("classes_opset1", f, f.input(20), opset=1)
    f = Forest(31, targets=3, votes=1, trees=6)
    f.votes = [(t, i, g, 0.5) for t, i, g, _ in f.votes]
    yield classifier("ties", f, f.input(60))
    for positive in (True, False):
        for only in (0, 1):
            f = Forest(32, trees=3, positive=positive, first_target=only)
            f.votes = [(t, i, g, w / 3) for t, i, g, w in f.votes]
            for post in ("NONE", "LOGISTIC"):
                name = f"binary_{only}_{'positive' if positive else 'mixed'}_{post}"
                for labels in ([10, 20], ["no", "yes"]):
                    yield classifier(f"{name}_{len(str(labels[0]))}{type(labels[0]).__name__}", f, f.input(30), labels=labels,
                                     post_transform=post)
                if only == 0:
                    yield classifier(name + "_base", f, f.input(30), labels=[10, 20], post_transform=post,
                                     base_values=[0.3])
    f = Forest(33, trees=3)
    x = f.input(30)
    s = f.sums(x)
    # As ONNX's reference has it: these transforms apply to the pair, not only where there are three classes.
    two = np.concatenate([-s, s], 1)
    soft = np.exp(two) / np.exp(two).sum(1, keepdims=True)
    for post in ("SOFTMAX", "SOFTMAX_ZERO"):
        yield classifier(f"binary_{post}", f, x, labels=[10, 20], post_transform=post,
                         expected=[np.where(s[:, 0] > 0, 20, 10), soft.astype(np.float32)])
    # Two classes that both have votes: the top one wins, where onnxruntime has 1 for any score above zero.
    f = Forest(34, targets=2, votes=2, trees=3)
    x = f.input(30)
    s = f.sums(x)
    yield classifier("two", f, x, labels=[10, 20], expected=[np.where(s[:, 1] > s[:, 0], 20, 10), s.astype(np.float32)])
    b = s + [0.5, -0.25]
    yield classifier("two_base", f, x, labels=[10, 20], base_values=[0.5, -0.25],
                     expected=[np.where(b[:, 1] > b[:, 0], 20, 10), b.astype(np.float32)])
    f = Forest(35, trees=3)
    yield classifier("one_class", f, f.input(20), labels=[7])
    yield classifier("one_class_base", f, f.input(20), labels=[7], base_values=[0.5])


def malformed():
    def broken(name, change, op=regressor, **more):
        f = Forest(40, trees=2, targets=2)
        f.nodes = [list(n) for n in f.nodes]
        change(f)
        return op("bad_" + name, f, f.input(3), exit=3, **more)

    def put(i, k, v):
        return lambda f: f.nodes[i].__setitem__(k, v)

    def put_vote(k, v):
        return lambda f: f.votes.__setitem__(0, f.votes[0][:k] + (v,) + f.votes[0][k + 1:])

    yield broken("cycle_root", put(1, 6, 0))
    yield broken("cycle_self", put(1, 6, 1))
    yield broken("cycle_below", put(2, 7, 1))
    yield broken("child", put(0, 6, 1000))
    yield broken("child_negative", put(0, 7, -1))
    yield broken("feature_negative", put(0, 3, -1))
    yield broken("feature", put(0, 3, 6))
    yield broken("feature_huge", put(0, 3, 1 << 40))
    yield broken("mode", put(0, 2, "BRANCH_MEMBER"))
    yield broken("mode_empty", put(0, 2, ""))
    yield broken("twice", put(1, 1, 0))
    for k, v in ((0, 9), (1, 1000), (2, 2), (2, -1)):
        yield broken(f"vote_{k}_{v}", put_vote(k, v))
    for name, v in (("nodes_modes", ["LEAF"]), ("nodes_featureids", [0]), ("nodes_values", [0.0]), ("nodes_truenodeids", [0]),
                    ("nodes_falsenodeids", [0]), ("nodes_nodeids", [0]), ("nodes_missing_value_tracks_true", [0]),
                    ("target_ids", [0]), ("target_nodeids", [0]), ("target_treeids", [0]), ("target_weights", [0.0]),
                    ("base_values", [1.0]), ("n_targets", 0), ("n_targets", -5), ("aggregate_function", "MEDIAN"),
                    ("post_transform", "SOFTPLUS"), ("nonsense", 1)):
        yield broken(f"{name}_{v}".replace(" ", "").replace("'", ""), lambda f: None, **{name: v})
    yield broken("both_values", lambda f: None, nodes_values_as_tensor=numpy_helper.from_array(np.zeros(3)))
    yield broken("tensor_dtype", lambda f: None, base_values_as_tensor=numpy_helper.from_array(np.zeros(2, np.int64)))
    yield broken("no_labels", lambda f: None, classifier, labels=None, classlabels_int64s=None)
    yield broken("labels_few", lambda f: None, classifier, labels=[1])
    yield broken("both_labels", lambda f: None, classifier, labels=[1, 2], classlabels_strings=["a", "b"])
    yield broken("class_base", lambda f: None, classifier, labels=[1, 2], base_values=[1.0, 2.0, 3.0])
    f = Forest(41)
    yield case("bad_dtype", "TreeEnsembleRegressor", [f.input(3).astype(np.float16)], f.attrs("target", n_targets=1),
               domain=ML, opset=3, types=[F32], exit=4)


# ---- TreeEnsemble ----------------------------------------------------------------------------------


def ensemble_attrs(forest, dtype, sets=None, **more):
    """A forest in TreeEnsemble's form; sets: {node position: members} turn nodes into BRANCH_MEMBER."""
    inner = [n for n in forest.nodes if n[2] != "LEAF"]
    leaves = [n[:2] for n in forest.nodes if n[2] == "LEAF"]
    place = {n[:2]: i for i, n in enumerate(inner)} | {n: i for i, n in enumerate(leaves)}
    leafs = set(leaves)
    vote = {v[:2]: v for v in forest.votes}
    sets, members = sets or {}, []
    for i in sorted(sets):
        members += list(sets[i]) + [np.nan]
    a = {"n_targets": forest.targets, "tree_roots": [place[n[:2]] for n in inner if n[1] == 0],
         "nodes_featureids": [n[3] for n in inner], "nodes_missing_value_tracks_true": [n[5] for n in inner],
         "nodes_modes": numpy_helper.from_array(np.array([6 if i in sets else MODES.index(n[2]) for i, n in enumerate(inner)],
                                                         np.uint8)),
         "nodes_splits": numpy_helper.from_array(np.array([n[4] for n in inner], dtype)),
         "nodes_truenodeids": [place[n[0], n[6]] for n in inner], "nodes_falsenodeids": [place[n[0], n[7]] for n in inner],
         "nodes_trueleafs": [int((n[0], n[6]) in leafs) for n in inner],
         "nodes_falseleafs": [int((n[0], n[7]) in leafs) for n in inner],
         "leaf_targetids": [vote[n][2] for n in leaves],
         "leaf_weights": numpy_helper.from_array(np.array([vote[n][3] for n in leaves], dtype))}
    if members:
        a["membership_values"] = numpy_helper.from_array(np.array(members, dtype))
    a.update(more)
    return {k: v for k, v in a.items() if v is not None}


def ensemble(name, forest, x, *, sets=None, expected=None, exit=0, rtol=1e-4, atol=1e-5, **attrs):
    dtype = x.dtype if x.dtype.kind == "f" else np.float32
    return case("v5_" + name, "TreeEnsemble", [x], ensemble_attrs(forest, dtype, sets, **attrs), domain=ML, opset=5,
                expected=expected, exit=exit, rtol=rtol, atol=atol)


def ensembles():
    f = Forest(50, modes=MODES, missing=0.5, trees=9, targets=3)
    for dtype in (np.float32, np.float64):
        for rows in (0, 1, 20):
            yield ensemble(f"{np.dtype(dtype)}_{rows}", f, f.input(rows, dtype, nan=0.2))
    x = f.input(20, np.float16, nan=0.2)
    g = Forest(50, modes=MODES, missing=0.5, trees=9, targets=3)
    g.votes = [v[:3] + (float(np.float16(v[3])),) for v in g.votes]
    yield ensemble("float16", f, x, expected=[g.sums(x).astype(np.float16)], rtol=2e-3, atol=1e-3)
    for how in range(4):
        yield ensemble(f"aggregate_{how}", f, f.input(20), aggregate_function=how)
    for post in range(5):
        p = Forest(51, targets=3, trees=6, positive=True)
        p.votes = [v[:3] + (v[3] / 6,) for v in p.votes]
        x = p.input(20)
        s = p.sums(x)
        # onnxruntime takes 1 for LOGISTIC and 2 for SOFTMAX.
        want = {1: np.exp(s) / np.exp(s).sum(1, keepdims=True), 2: 1 / (1 + np.exp(-s))}
        yield ensemble(f"post_{post}", p, x, post_transform=post, atol=PROBIT_ATOL if post == 4 else 1e-5,
                       expected=[want[post].astype(np.float32)] if post in want else None)
    x = Forest(52, features=2).input(50, nan=0.2)
    x[:, 0] = np.arange(50) % 40
    x[:20, 0] = np.arange(20) * 5
    x[45:, 0] = [-1, 0.5, 64, np.nan, np.inf]
    for kind, members in (("bits", [1, 5, 17, 30]), ("large", [1, 70, 45, 95, 30]), ("fractions", [0.5, 2, -1]), ("one", [5]),
                          ("many", list(range(0, 80, 2))), ("edge", [0, 63, 64]), ("inf", [np.inf, 3])):
        for missing in (0, 1):
            m = Forest(52, features=2, trees=1, depth=2)
            inner = [i for i, n in enumerate(m.nodes) if n[2] != "LEAF"]
            for i in inner:
                m.nodes[i] = m.nodes[i][:3] + (0, m.nodes[i][4], missing) + m.nodes[i][6:]
            holds = np.isin(x[:, 0], np.array(members, np.float32)) | (np.isnan(x[:, 0]) & bool(missing))
            only = [i for i, n in enumerate([n for n in m.nodes if n[2] != "LEAF"]) if n[1] == 0]
            # The root tests the set; what it decides is put into a feature of its own for the reference.
            r = Forest(52, features=2, trees=1, depth=2)
            r.nodes = [tuple(n) for n in m.nodes]
            r.nodes[0] = r.nodes[0][:2] + ("BRANCH_EQ", 1, 1.0, 0) + r.nodes[0][6:]
            y = np.stack([x[:, 0], holds.astype(np.float32)], 1)
            yield ensemble(f"member_{kind}_{missing}", m, x, sets={only[0]: members}, expected=[r.sums(y).astype(np.float32)])
    f = Forest(53, trees=2)
    yield ensemble("missing_absent", f, f.input(20, nan=0.3), nodes_missing_value_tracks_true=None)
    n = sum(n[2] != "LEAF" for n in f.nodes)
    yield ensemble("hitrates", f, f.input(3), nodes_hitrates=numpy_helper.from_array(np.ones(n, np.float32)))
    # A tree that is one leaf: both branches lead to it.
    leaf = {"n_targets": 2, "tree_roots": [0, 0], "nodes_featureids": [0],
            "nodes_modes": numpy_helper.from_array(np.zeros(1, np.uint8)), "nodes_splits": numpy_helper.from_array(f32(0)),
            "nodes_truenodeids": [0], "nodes_falsenodeids": [0], "nodes_trueleafs": [1], "nodes_falseleafs": [1],
            "leaf_targetids": [1], "leaf_weights": numpy_helper.from_array(f32(2.5))}
    yield case("v5_leaf", "TreeEnsemble", [f.input(2)], leaf, domain=ML, opset=5, expected=[f32(0, 5, 0, 5).reshape(2, 2)])
    for name, v in (("nodes_truenodeids", [0] * n), ("nodes_truenodeids", [1000] * n), ("nodes_falsenodeids", [-1] * n),
                    ("nodes_featureids", [-1] * n), ("nodes_featureids", [6] * n), ("nodes_trueleafs", [0]),
                    ("leaf_targetids", [5] * 40), ("leaf_targetids", [0]), ("tree_roots", [n]), ("tree_roots", [-1]),
                    ("n_targets", 0), ("aggregate_function", 4), ("post_transform", 5), ("post_transform", -1),
                    ("nodes_modes", numpy_helper.from_array(np.full(n, 7, np.uint8))),
                    ("nodes_modes", numpy_helper.from_array(np.full(n, 6, np.uint8))),
                    ("nodes_modes", numpy_helper.from_array(np.zeros(n, np.float32))),
                    ("nodes_splits", numpy_helper.from_array(np.zeros(1, np.float32))),
                    ("nodes_splits", numpy_helper.from_array(np.zeros(n, np.int32))),
                    ("membership_values", numpy_helper.from_array(f32(1, np.nan))), ("leaf_weights", None),
                    ("nodes_modes", None)):
        plain = isinstance(v, (int, list)) or v is None
        text = str(v)[:12] if plain else str(list(numpy_helper.to_array(v))[:1]) + str(v.data_type)
        text = "".join(c for c in text if c.isalnum() or c == "-")
        trees = {"nodes_trueleafs": [0] * n} if (name, v) == ("nodes_truenodeids", [0] * n) else {}
        yield ensemble(f"bad_{name}_{text}", f, f.input(3), exit=3, **(trees | {name: v}))


# ---- support vectors -------------------------------------------------------------------------------

PARAMS = {"LINEAR": [0.0, 0.0, 0.0], "POLY": [0.5, 0.3, 3.0], "RBF": [0.4, 0.0, 0.0], "SIGMOID": [0.2, 0.1, 0.0]}


def svc(name, classes, x, *, kernel="RBF", proba=False, strings=False, per=(3, 4, 1, 5), expected=None, exit=0, **more):
    rng = np.random.default_rng(60 + classes)
    k, per = x.shape[-1], list(per)[:classes]
    n, pairs = sum(per), classes * (classes - 1) // 2
    a = {"kernel_type": kernel, "kernel_params": PARAMS[kernel], "vectors_per_class": per,
         "support_vectors": rng.standard_normal(n * k).astype(np.float32).tolist(),
         "coefficients": rng.standard_normal((classes - 1) * n).astype(np.float32).tolist(),
         "rho": rng.standard_normal(pairs).astype(np.float32).tolist()}
    if proba:
        a |= {"prob_a": (-rng.random(pairs) - 0.5).tolist(), "prob_b": (rng.random(pairs) - 0.5).tolist()}
    a["classlabels_strings" if strings else "classlabels_ints"] = [f"c{i}" for i in range(classes)] if strings \
        else list(range(7, 7 + classes))
    a.update(more)
    a = {key: v for key, v in a.items() if v is not None}
    return case("svc_" + name, "SVMClassifier", [x], a, domain=ML, opset=1, outputs=("y", "z"),
                types=[STR if strings else I64, F32], expected=expected, exit=exit, atol=tolerance(a))


def svr(name, x, *, n=7, kernel="RBF", expected=None, exit=0, **more):
    rng = np.random.default_rng(70)
    k = x.shape[-1]
    a = {"kernel_type": kernel, "kernel_params": PARAMS[kernel], "n_supports": n, "rho": [0.25],
         "support_vectors": rng.standard_normal(n * k).astype(np.float32).tolist() if n else None,
         "coefficients": rng.standard_normal(n or k).astype(np.float32).tolist()}
    a.update(more)
    a = {key: v for key, v in a.items() if v is not None}
    return case("svr_" + name, "SVMRegressor", [x], a, domain=ML, opset=1, types=[F32], expected=expected, exit=exit)


def machines():
    rng = np.random.default_rng(80)
    x = rng.standard_normal((40, 5)).astype(np.float32)
    for kernel in PARAMS:
        for classes in (2, 3, 4):
            for proba in (False, True):
                yield svc(f"{kernel}_{classes}_{'proba' if proba else 'votes'}", classes, x, kernel=kernel, proba=proba)
        yield svr(kernel, x, kernel=kernel)
        yield svr(kernel + "_planes", x, kernel=kernel, n=0)
        yield svr(kernel + "_one_class", x, kernel=kernel, one_class=1)
    for degree in (1.0, 2.0, 2.5):
        yield svr(f"degree_{degree}", abs(x), kernel="POLY", kernel_params=[0.5, 3.0, degree],
                  support_vectors=np.linspace(0, 1, 35).tolist())
    wide = rng.standard_normal((3, 70)).astype(np.float32)
    yield svc("wide", 4, wide, kernel_params=[0.01, 0.0, 0.0], per=(20, 5, 17, 9))
    yield svr("wide", wide, n=50, kernel="SIGMOID", kernel_params=[0.01, 0.1, 0.0])
    yield svc("strings", 3, x, strings=True)
    yield svc("empty_class", 3, x, per=(3, 0, 4))
    for rows in (0, 1, 33):
        yield svc(f"rows_{rows}", 3, np.resize(x, (rows, 5)), proba=True)
        yield svr(f"rows_{rows}", np.resize(x, (rows, 5)))
    for dtype in (np.float64, np.int32, np.int64):
        yield svc(f"{np.dtype(dtype)}", 3, (x * 2).astype(dtype))
    yield svc("rank1", 3, x[0])
    yield svr("rank1", x[0])
    for post in POSTS:
        yield svc(f"post_{post}", 3, abs(x), post_transform=post)
        yield svc(f"post_proba_{post}", 3, x, proba=True, post_transform=post)
        planes = {"vectors_per_class": None, "support_vectors": None, "post_transform": post, "rho": [0.1]}
        for classes in (1, 2, 3) if post in ("NONE", "PROBIT") else (2, 3):
            yield svc(f"planes_{classes}_{post}", classes, x,
                      coefficients=rng.random(5 * classes).astype(np.float32).tolist(), **planes)
            yield svc(f"planes_{classes}_mixed_{post}", classes, x,
                      coefficients=rng.standard_normal(5 * classes).astype(np.float32).tolist(), **planes)
    for post in ("NONE", "LOGISTIC"):
        yield svc(f"post_two_{post}", 2, x, post_transform=post)
    planes = {"coefficients": [1.0, 0.0, 0.0, 0.0, 0.0], "n": 0}
    yield svr("logistic", x, post_transform="LOGISTIC", rho=None, expected=[1 / (1 + np.exp(-x[:, :1]))], **planes)
    yield svr("no_params", x, kernel_params=None, rho=None, expected=[x[:, :1]], **planes)
    for name, v in (("kernel_type", "COSINE"), ("kernel_params", [1.0]), ("post_transform", "X"), ("n_supports", -1),
                    ("n_supports", 1 << 62), ("n_supports", 6), ("support_vectors", [1.0]), ("support_vectors", None),
                    ("coefficients", [1.0]), ("coefficients", None)):
        yield svr(f"bad_{name}_{v}".replace(" ", ""), x, exit=3, **{name: v})
    for name, v in (("vectors_per_class", [3, 4]), ("vectors_per_class", [3, -4, 2]), ("vectors_per_class", [1 << 62] * 3),
                    ("vectors_per_class", [0, 0, 1 << 62]), ("rho", [1.0]), ("prob_a", [1.0]), ("coefficients", [1.0]),
                    ("support_vectors", [1.0]), ("support_vectors", None), ("classlabels_ints", [1]), ("classlabels_ints", None),
                    ("classlabels_strings", ["a", "b", "c"])):
        yield svc(f"bad_{name}_{v}".replace(" ", "").replace("'", ""), 3, x, exit=3, **{name: v})
    yield svc("bad_proba", 3, x, prob_a=[1.0], prob_b=[1.0], exit=3)
    yield svc("bad_width", 3, x, support_vectors=[1.0] * 16, exit=3)


# ---- linear models -----------------------------------------------------------------------------------


def linear(name, x, n, *, labels=None, op="LinearClassifier", expected=None, exit=0, **more):
    rng = np.random.default_rng(90 + n)
    a = {"coefficients": (rng.standard_normal(n * x.shape[-1]) / 4).astype(np.float32).tolist(),
         "intercepts": rng.standard_normal(n).astype(np.float32).tolist()}
    strings = bool(labels) and isinstance(labels[0], str)
    if labels:
        a["classlabels_strings" if strings else "classlabels_ints"] = labels
    if op == "LinearRegressor":
        a["targets"] = n
    a.update(more)
    a = {key: v for key, v in a.items() if v is not None}
    two = op == "LinearClassifier"
    return case(name, op, [x], a, domain=ML, opset=1, outputs=("y", "z") if two else ("y",),
                types=[STR if strings else I64, F32] if two else [F32], expected=expected, exit=exit, atol=tolerance(a))


def linears():
    rng = np.random.default_rng(91)
    x = rng.standard_normal((40, 6)).astype(np.float32)
    for post in POSTS:
        for n in (2, 3, 5):
            yield linear(f"linear_{n}_{post}", x, n, labels=list(range(3, 3 + n)), post_transform=post)
        yield linear(f"linreg_3_{post}", x, 3, op="LinearRegressor", post_transform=post)
    for post in ("NONE", "LOGISTIC"):
        yield linear(f"linear_one_{post}", x, 1, labels=[5, 6], post_transform=post)
        yield linear(f"linear_one_strings_{post}", x, 1, labels=["no", "yes"], post_transform=post)
    yield linear("linear_unlabelled", x, 1)
    # One score: every transform applies, where onnxruntime has none but PROBIT.
    s = x[:, :1].astype(np.float64)
    plain = {"coefficients": [1.0, 0, 0, 0, 0, 0], "intercepts": None}
    sigmoid, e = 1 / (1 + np.exp(-s)), np.exp(np.concatenate([-s, s], 1))
    yield linear("linreg_logistic", x, 1, op="LinearRegressor", post_transform="LOGISTIC",
                 expected=[sigmoid.astype(np.float32)], **plain)
    yield linear("linear_one_SOFTMAX", x, 1, labels=[5, 6], post_transform="SOFTMAX", coefficients=plain["coefficients"],
                 intercepts=[0.0], expected=[np.where(s[:, 0] > 0, 6, 5), (e / e.sum(1, keepdims=True)).astype(np.float32)])
    # Rows of zeros: a half each, as ONNX's reference has it.
    yield linear("softmax_zeros", np.zeros((2, 6), np.float32), 3, op="LinearRegressor", post_transform="SOFTMAX_ZERO",
                 intercepts=None, expected=[np.full((2, 3), 0.5, np.float32)])
    yield linear("linreg_1", x, 1, op="LinearRegressor")
    yield linear("linreg_PROBIT", abs(x), 1, op="LinearRegressor", post_transform="PROBIT")
    yield linear("linreg_bare", x, 2, op="LinearRegressor", intercepts=None)
    yield linear("linreg_rank1", x[0], 2, op="LinearRegressor")
    yield linear("linear_rank1", x[0], 3, labels=[1, 2, 3])
    yield linear("linear_rank3", x.reshape(2, 20, 6), 3, labels=[1, 2, 3], exit=3)
    yield linear("linear_strings", x, 3, labels=["a", "b", "c"], multi_class=1)
    yield linear("linear_more_labels", x, 3, labels=[1, 2, 3, 4])
    yield linear("linear_bare", x, 2, labels=[1, 2], coefficients=[1.0, 0, 0, 0, 0, 0, 0, 1.0, 0, 0, 0, 0], intercepts=None,
                 expected=[np.where(x[:, 1] > x[:, 0], 2, 1), x[:, :2]])
    for rows in (0, 1, 33):
        yield linear(f"linear_rows_{rows}", np.resize(x, (rows, 6)), 3, labels=[1, 2, 3])
        yield linear(f"linreg_rows_{rows}", np.resize(x, (rows, 6)), 3, op="LinearRegressor")
    for dtype in (np.float64, np.int32, np.int64):
        q = (3 * x).astype(dtype)
        yield linear(f"linear_{np.dtype(dtype)}", q, 3, labels=[1, 2, 3])
        yield linear(f"linreg_{np.dtype(dtype)}", q, 1, op="LinearRegressor", expected=[q[:, :1].astype(np.float32)], **plain)
    wide = rng.standard_normal((3, 700)).astype(np.float32)
    yield linear("linear_wide", wide, 30, labels=list(range(30)), post_transform="SOFTMAX")
    for name, v in (("coefficients", [1.0]), ("coefficients", None), ("intercepts", [1.0]), ("classlabels_ints", [1, 2]),
                    ("classlabels_ints", None), ("classlabels_strings", ["a", "b", "c"]), ("post_transform", "X")):
        yield linear(f"bad_linear_{name}_{v}".replace(" ", "").replace("'", ""), x, 3, labels=[1, 2, 3], exit=3, **{name: v})
    yield linear("bad_linear_one_label", x, 1, labels=[5], exit=3)
    for name, v in (("targets", 0), ("targets", -1), ("targets", 1 << 62), ("coefficients", None), ("intercepts", [1.0])):
        yield linear(f"bad_linreg_{name}_{v}".replace(" ", ""), x, 2, op="LinearRegressor", exit=3, **{name: v})
    yield linear("bad_linreg_width", x, 2, op="LinearRegressor", coefficients=[1.0] * 10, exit=3)


def cases():
    for family in (regressors, shared_child, classifiers, malformed, ensembles, machines, linears):
        yield from family()
