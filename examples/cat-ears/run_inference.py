#!/usr/bin/env python3
"""Runs the cat-ears model on the drawings of expected.json and compares the answers.

usage: run_inference.py MODEL_PATH [EXPECTED_JSON]

MODEL_PATH may be anything that can be read once from its begin, also /proc/self/fd/N: the
model is handed to the runtime as bytes and never needs a name.  Exit 0: the answers agree,
or no TensorFlow Lite runtime is installed (says so); 1: they differ; 2: wrong usage."""
import importlib
import json
import os
import sys

RUNTIMES = [("ai_edge_litert.interpreter", "Interpreter"),
            ("tflite_runtime.interpreter", "Interpreter"),
            ("tensorflow", "lite.Interpreter")]


def find_interpreter():
    for module, name in RUNTIMES:
        try:
            found = importlib.import_module(module)
        except ImportError:
            continue
        for part in name.split("."):
            found = getattr(found, part)
        return module, found
    return None, None


def run(interpreter, values):
    import numpy                                # every runtime brings it
    source = interpreter.get_input_details()[0]
    result = interpreter.get_output_details()[0]
    drawing = numpy.array(values, dtype=numpy.float32).reshape(source["shape"])
    interpreter.set_tensor(source["index"], drawing)
    interpreter.invoke()
    return [float(v) for v in interpreter.get_tensor(result["index"]).flatten()]


def main():
    if len(sys.argv) not in (2, 3):
        print(__doc__.split("\n\n")[1], file=sys.stderr)
        return 2
    beside = os.path.join(os.path.dirname(os.path.abspath(__file__)), "expected.json")
    with open(sys.argv[2] if len(sys.argv) == 3 else beside, encoding="utf-8") as f:
        expected = json.load(f)
    name, make = find_interpreter()
    if make is None:
        print("skipped: no TFLite runtime installed (pip install ai-edge-litert)")
        return 0
    with open(sys.argv[1], "rb") as f:
        model = f.read()
    if model[4:8] != b"TFL3":
        print("%s holds no TensorFlow Lite model" % sys.argv[1])
        return 1
    interpreter = make(model_content=model)
    interpreter.allocate_tensors()
    bad = 0
    for case in expected["cases"]:
        got = run(interpreter, case["input"])
        off = max(abs(a - b) for a, b in zip(got, case["output"]))
        right = off <= expected["tolerance"]    # not-a-number is wrong, too
        bad += not right
        print("%s: %s %.4f (%s)" % (name, expected["labels"][got.index(max(got))], max(got),
                                    "as expected" if right else "EXPECTED " + str(case["output"])))
    return 1 if bad else 0


sys.exit(main())
