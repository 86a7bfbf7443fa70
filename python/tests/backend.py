#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""ONNX's own backend runner over infer.backend. The last line is "N passed, N failed[, N skipped]".

Cases of tests/conformance/differs.txt are skipped, as are real models, which would be fetched. Outputs of operators
that draw random numbers are compared in type and shape; a sequence with scalars in it is compared here, as ONNX's runner
asks each item for its length."""
import pathlib
import re
import sys
import unittest
import warnings

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "python"))

import numpy as np  # noqa: E402
import onnx.backend.test  # noqa: E402
from onnx.backend.test.loader import load_model_tests  # noqa: E402

import infer.backend  # noqa: E402

SCALARS = ("test_loop16_seq_none",)
RANDOM = re.compile(r"^test_(bernoulli|training_dropout(?!_zero))")
GROUPS = ("OnnxBackendNodeModelTest", "OnnxBackendSimpleModelTest", "OnnxBackendPyTorchConvertedModelTest",
          "OnnxBackendPyTorchOperatorModelTest")


def shapes_differ(case):
    """None, or what is wrong with a random case."""
    for inputs, wanted in case.data_sets:
        got = infer.backend.run_model(case.model, inputs)
        for g, w in zip(got, wanted, strict=True):
            if g.dtype != w.dtype or g.shape != w.shape:
                return f"{g.dtype}{g.shape}, expected {w.dtype}{w.shape}"
    return None


def items_equal(case):
    (inputs, wanted), = case.data_sets
    got = infer.backend.run_model(case.model, inputs)
    return all(len(g) == len(w) and all(np.array_equal(x, y) for x, y in zip(g, w)) for g, w in zip(got, wanted, strict=True))


def main():
    warnings.simplefilter("ignore")
    runner = onnx.backend.test.BackendTest(infer.backend, __name__)
    for line in (ROOT / "tests/conformance/differs.txt").read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            runner.exclude(f"^{line.split()[0]}_cpu$")
    scalars = [t for t in load_model_tests(kind="node") if t.name in SCALARS]
    random = [t for t in load_model_tests(kind="node") if RANDOM.match(t.name)]
    runner.exclude("|".join([RANDOM.pattern, *(f"^{s}_cpu$" for s in SCALARS)]))
    suite = unittest.TestSuite(unittest.defaultTestLoader.loadTestsFromTestCase(runner.test_cases[g]) for g in GROUPS)
    result = unittest.TestResult()
    suite.run(result)
    bad = result.failures + result.errors
    for test, text in bad:
        print(f"FAIL {test.id().split('.')[-1]}: {text.strip().splitlines()[-1][:200]}")
    wrong = [(t.name, why) for t in random if (why := shapes_differ(t))]
    wrong += [(t.name, "values differ") for t in scalars if not items_equal(t)]
    own = len(random) + len(scalars)
    for name, why in wrong:
        print(f"FAIL {name}: {why}")
    cuda = sum("cuda" in t.id().lower() for t, _ in result.skipped)
    skipped = len(result.skipped) - cuda  # every case is there a second time for a device that is not offered
    passed = result.testsRun - len(result.skipped) - len(bad) + own - len(wrong)
    print(f"{passed} passed, {len(bad) + len(wrong)} failed, {skipped - own} skipped")
    return 1 if bad or wrong else 0


if __name__ == "__main__":
    sys.exit(main())
