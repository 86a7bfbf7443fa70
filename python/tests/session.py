#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The Python interface: names, meanings, sharing of memory, errors. The last line is "N passed, N failed"."""
import pathlib
import subprocess
import sys
import tempfile
import threading
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "python"), str(ROOT / "tests")]

import numpy as np  # noqa: E402
from onnxfile import FLOAT, INT64, graph, info, model, node  # noqa: E402

import infer  # noqa: E402


def identity(dtype=FLOAT, dims=("n",), op="Identity"):
    return model(graph([node(op, ["x"], ["y"])], [info("x", dtype, list(dims))], [info("y", dtype, list(dims))]),
                 metadata=[("author", "a test")])


def two():
    return model(graph([node("Add", ["a", "b"], ["sum"]), node("Mul", ["a", "b"], ["product"])],
                       [info("a", FLOAT, ["n", 2]), info("b", FLOAT, ["n", 2])],
                       [info("sum", FLOAT, ["n", 2]), info("product", FLOAT, ["n", 2])]))


class Session(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="infer-python-")
        cls.path = pathlib.Path(cls.folder.name)
        subprocess.run([sys.executable, ROOT / "tests" / "tiny.py", cls.path], check=True)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def setUp(self):
        self.a = np.arange(6, dtype=np.float32).reshape(3, 2)
        self.b = self.a + 1

    def test_ports(self):
        s = infer.InferenceSession(two())
        self.assertEqual([(x.name, x.type, x.shape) for x in s.get_inputs()],
                         [("a", "tensor(float)", ["n", 2]), ("b", "tensor(float)", ["n", 2])])
        self.assertEqual([x.name for x in s.get_outputs()], ["sum", "product"])
        self.assertEqual(s.get_overridable_initializers(), [])
        self.assertEqual(s.get_providers(), ["CPUExecutionProvider"])

    def test_run(self):
        s = infer.InferenceSession(two())
        total, product = s.run(None, {"a": self.a, "b": self.b})
        np.testing.assert_array_equal(total, self.a + self.b)
        np.testing.assert_array_equal(product, self.a * self.b)
        only, = s.run(["product"], {"a": self.a, "b": self.b})
        np.testing.assert_array_equal(only, product)
        twice = s.run(["sum", "sum"], {"a": self.a, "b": self.b})
        np.testing.assert_array_equal(twice[0], twice[1])

    def test_lists_and_strides(self):
        s = infer.InferenceSession(two())
        out, = s.run(["sum"], {"a": [[1, 2]], "b": np.ones((2, 2), np.float32).T[:1]})
        np.testing.assert_array_equal(out, [[2, 3]])
        wide = np.arange(12, dtype=np.float32).reshape(3, 4)
        out, = s.run(["sum"], {"a": wide[:, ::2], "b": self.b})
        np.testing.assert_array_equal(out, wide[:, ::2] + self.b)

    def test_paths_and_bytes(self):
        s = infer.InferenceSession(self.path / "mlp.onnx")
        x = np.ones((2, 8), np.float32)
        whole, = s.run(None, {"x": x})
        again, = infer.InferenceSession((self.path / "mlp.onnx").read_bytes()).run(None, {"x": x})
        np.testing.assert_array_equal(whole, again)
        self.assertEqual(whole.shape, (2, 12))

    def test_outputs_share_memory_and_outlive_the_session(self):
        s = infer.InferenceSession(two())
        out, = s.run(["sum"], {"a": self.a, "b": self.b})
        self.assertFalse(out.flags.owndata)
        wanted = self.a + self.b
        del s
        np.testing.assert_array_equal(out, wanted)
        out[0, 0] = 5  # the caller's own

    def test_inputs_are_not_copied(self):
        x = np.zeros(1 << 20, np.float32)
        v = infer.OrtValue.ortvalue_from_numpy(x)
        self.assertEqual(v.data_ptr(), x.ctypes.data)
        x[7] = 3
        self.assertEqual(v.numpy()[7], 3)

    def test_input_stays_alive(self):
        v = infer.OrtValue.ortvalue_from_numpy(np.full(100000, 7, np.int64))
        for _ in range(20):
            np.full(100000, 1, np.int64)
        self.assertTrue((v.numpy() == 7).all())

    def test_nothing_stays_behind(self):
        from infer import values
        s = infer.InferenceSession(two())
        for _ in range(50):
            s.run(None, {"a": self.a, "b": self.b})
        self.assertLess(len(values._held), 10)

    def test_types(self):
        for number, dtype in {1: "f4", 2: "u1", 3: "i1", 4: "u2", 5: "i2", 6: "i4", 7: "i8", 9: "?", 10: "f2", 11: "f8",
                              12: "u4", 13: "u8"}.items():
            x = np.array([0, 1, 100], dtype)
            y, = infer.InferenceSession(identity(number)).run(None, {"x": x})
            self.assertEqual(y.dtype, x.dtype)
            np.testing.assert_array_equal(y, x)

    def test_strings(self):
        x = np.array([["a", ""], ["wörld", "\0x"]], object)
        y, = infer.InferenceSession(identity(8, ("n", 2))).run(None, {"x": x})
        self.assertEqual(y.tolist(), x.tolist())
        y, = infer.InferenceSession(identity(8, ("n", 2))).run(None, {"x": x.astype(str)})
        self.assertEqual(y[1, 0], "wörld")

    def test_zero_sized_and_scalar(self):
        s = infer.InferenceSession(two())
        self.assertEqual(s.run(None, {"a": self.a[:0], "b": self.b[:0]})[0].shape, (0, 2))
        y, = infer.InferenceSession(identity(FLOAT, ())).run(None, {"x": np.float32(3)})
        self.assertEqual((y.shape, float(y)), ((), 3.0))

    def test_bfloat16(self):
        try:
            import ml_dtypes
        except ImportError:
            self.skipTest("ml_dtypes is not installed")
        x = np.array([1.5, -2], ml_dtypes.bfloat16)
        y, = infer.InferenceSession(identity(16)).run(None, {"x": x})
        self.assertEqual(y.dtype, x.dtype)
        np.testing.assert_array_equal(y, x)

    def test_sequence(self):
        s = infer.InferenceSession(self.path / "sequence.onnx")
        feed = {}
        for a in s.get_inputs():
            feed[a.name] = np.ones([d if isinstance(d, int) else 2 for d in a.shape], np.float32)
        self.assertTrue(s.run(None, feed))

    def test_maps(self):
        s = infer.InferenceSession(ROOT.parent / "shared/models/real/skl_logreg_scaler_iris_zipmap/model.onnx") \
            if (ROOT.parent / "shared/models/real").is_dir() else self.skipTest("no ../shared/models/real")
        feed = {a.name: np.ones([d if isinstance(d, int) else 2 for d in a.shape], np.float32) for a in s.get_inputs()}
        maps = s.run(None, feed)[1]
        self.assertEqual(len(maps), 2)
        self.assertAlmostEqual(sum(maps[0].values()), 1, places=5)
        from infer import values
        for m in ({1: 2.5, 7: -1.0}, {"a": 1, "b": 2}, {"x": "y"}):
            self.assertEqual(values.to_python(values.from_python(m)), m)

    def test_errors(self):
        s = infer.InferenceSession(two())
        with self.assertRaisesRegex(infer.InvalidArgument, "no input 'c'"):
            s.run(None, {"a": self.a, "b": self.b, "c": self.a})
        with self.assertRaisesRegex(infer.InvalidArgument, "'b' is missing"):
            s.run(None, {"a": self.a})
        with self.assertRaisesRegex(infer.InvalidArgument, "no output 'z'"):
            s.run(["z"], {"a": self.a, "b": self.b})
        with self.assertRaisesRegex(infer.InvalidArgument, "float"):
            s.run(None, {"a": self.a.astype(np.float64), "b": self.b})
        with self.assertRaises(infer.InvalidArgument):
            s.run(None, {"a": self.a, "b": self.b[:2]})
        with self.assertRaises(infer.NoSuchFile):
            infer.InferenceSession("/nowhere/model.onnx")
        with self.assertRaises(infer.InvalidGraph):
            infer.InferenceSession(b"no model at all")
        with self.assertRaises(infer.NotImplemented) as caught:
            infer.InferenceSession(self.path / "unsupported.onnx")
        self.assertIsInstance(caught.exception, NotImplementedError)
        with self.assertRaises(infer.InvalidArgument):
            infer.InferenceSession(two(), providers=["NoSuchProvider"])

    def test_binding(self):
        s = infer.InferenceSession(two())
        b = s.io_binding()
        out = np.zeros((3, 2), np.float32)
        b.bind_cpu_input("a", self.a)
        b.bind_ortvalue_input("b", infer.OrtValue.ortvalue_from_numpy(self.b))
        b.bind_output("product", "cpu", 0, np.float32, out.shape, out.ctypes.data)
        b.bind_output("sum")
        for _ in range(3):
            s.run_with_iobinding(b)
        np.testing.assert_array_equal(out, self.a * self.b)
        np.testing.assert_array_equal(b.copy_outputs_to_cpu()[1], self.a + self.b)
        self.assertEqual(b.get_outputs()[0].data_ptr(), out.ctypes.data)
        b.clear_binding_inputs()
        with self.assertRaisesRegex(infer.InvalidArgument, "not bound"):
            s.run_with_iobinding(b)

    def test_ort_values(self):
        s = infer.InferenceSession(two())
        v = infer.OrtValue.ortvalue_from_shape_and_type([3, 2], np.float32)
        v.update_inplace(self.a)
        self.assertEqual((v.shape(), v.data_type(), v.is_tensor(), v.device_name()), ([3, 2], "tensor(float)", True, "cpu"))
        out, = s.run_with_ort_values(["sum"], {"a": v, "b": infer.OrtValue.ortvalue_from_numpy(self.b)})
        np.testing.assert_array_equal(out.numpy(), self.a + self.b)
        with self.assertRaises(infer.InvalidArgument):
            v.update_inplace(self.a[:1])

    def test_options(self):
        o = infer.SessionOptions()
        o.intra_op_num_threads = 1
        o.graph_optimization_level = infer.GraphOptimizationLevel.ORT_DISABLE_ALL
        o.optimized_model_filepath = str(self.path / "saved.onnx")
        o.add_free_dimension_override_by_name("n", 3)
        s = infer.InferenceSession(two(), o)
        self.assertEqual(s.get_inputs()[0].shape, [3, 2])
        wanted = s.run(None, {"a": self.a, "b": self.b})
        with self.assertRaises(infer.InvalidArgument):
            s.run(None, {"a": self.a[:2], "b": self.b[:2]})
        again = infer.InferenceSession(self.path / "saved.onnx").run(None, {"a": self.a, "b": self.b})
        np.testing.assert_array_equal(wanted, again)

    def test_metadata(self):
        m = infer.InferenceSession(identity()).get_modelmeta()
        self.assertEqual(m.custom_metadata_map, {"author": "a test"})
        self.assertIsInstance(m.version, int)

    def test_profile(self):
        o = infer.SessionOptions()
        o.enable_profiling = True
        o.profile_file_prefix = str(self.path / "profile_")
        s = infer.InferenceSession(two(), o)
        s.run(None, {"a": self.a, "b": self.b})
        self.assertIn('"Add', pathlib.Path(s.end_profiling()).read_text())
        s.run(None, {"a": self.a, "b": self.b})

    def test_stop(self):
        s = infer.InferenceSession(self.path / "loop_forever.onnx")
        feed = {a.name: np.ones([d if isinstance(d, int) else 1 for d in a.shape],
                                np.int64 if "int64" in a.type else np.float32) for a in s.get_inputs()}
        o = infer.RunOptions()
        o.timeout_ms = 50
        with self.assertRaises(infer.DeadlineExceeded):
            s.run(None, feed, o)
        o = infer.RunOptions()
        threading.Timer(0.05, lambda: setattr(o, "terminate", True)).start()
        with self.assertRaises(infer.Cancelled):
            s.run(None, feed, o)

    def test_threads(self):
        s, wrong = infer.InferenceSession(two()), []

        def work(i):
            for k in range(50):
                a = np.full((1 + (i + k) % 5, 2), i, np.float32)
                if not (s.run(["sum"], {"a": a, "b": a})[0] == 2 * i).all():
                    wrong.append(i)
        threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(wrong, [])

    def test_async(self):
        s, done, got = infer.InferenceSession(two()), threading.Event(), []
        s.run_async(["sum"], {"a": self.a, "b": self.b}, lambda *x: (got.extend(x), done.set()), "mine")
        self.assertTrue(done.wait(10))
        np.testing.assert_array_equal(got[0][0], self.a + self.b)
        self.assertEqual(got[1:], ["mine", ""])

    def test_text(self):
        self.assertIn("Add", infer.InferenceSession(two()).text("describe"))
        with self.assertRaises(infer.InvalidArgument):
            infer.InferenceSession(two()).text("nothing")

    def test_int64_defaults(self):
        y, = infer.InferenceSession(identity(INT64)).run(None, {"x": [1, 2]})
        self.assertEqual((y.dtype, y.tolist()), (np.dtype(np.int64), [1, 2]))


def main():
    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(Session).run(result)
    bad = result.failures + result.errors
    for test, text in bad:
        print(f"FAIL {test.id().split('.')[-1]}: {text.strip().splitlines()[-1][:300]}")
    for test, why in result.skipped:
        print(f"SKIPPED {test.id().split('.')[-1]}: {why}")
    print(f"{result.testsRun - len(bad) - len(result.skipped)} passed, {len(bad)} failed, {len(result.skipped)} skipped")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
