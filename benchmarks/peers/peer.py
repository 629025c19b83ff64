"""One runtime that answers requests for timings: peer.py RUNTIME BUNDLE INPUTS MODEL.onnx

INPUTS are samples, little-endian and row-major, float32 or (token ids) int32. Rows of ids are padded to the bundle's
max_length; each batch is trimmed to its longest row, and where any row is shorter than max_length the model's length axis is
dynamic. Requests come in as lines of JSON, and every one is answered by a line:

    {"do": "export"}                          writes MODEL.onnx (torch); {}
    {"do": "versions"}                        {"versions": {"torch": "2.15.0", …}}
    {"do": "logits", "samples": 8}            {"logits": [[…], …]} of the first 8 samples
    {"do": "time", "batch": 8, "callers": 1, "threads": 2, "seconds": 0.3}
                                              {"streams": [{"ms": […], "seconds": 0.31}], "idle": 2.1, "idle_cpu": 0.003}

In "time" each caller sends batches one after the other, for as long as "seconds"; threads are those of one call. With
"pass": 512 the callers share the batches of the first 512 samples instead, in order and again from the start, until the end
of the pass in which the time is over. "ms" has the time of every call and nothing else, "seconds" is what the caller took for
all of them. "idle" is the time since the last answer, "idle_cpu" the
processor time spent meanwhile: a runtime whose threads spin would take it from whoever has the turn. A request that fails
is answered by {"error": "…"}.
"""

import json
import platform
import sys
import threading
import time

import numpy as np


class Torch:
    """PyTorch, eager."""

    def __init__(self, bundle, model):
        import network
        import torch

        self.torch, self.model = torch, model
        self.network = network.load(bundle)[1]
        self.versions = {"torch": torch.__version__}

    def export(self, batch, lengths):
        batch = self.torch.from_numpy(batch)
        names = {"input_names": ["samples"], "output_names": ["logits"]}
        axes = {"samples": {0: "batch"}, "logits": {0: "batch"}}
        if lengths:
            axes["samples"][1] = "length"
        self.torch.onnx.export(self.network, (batch,), self.model, dynamo=False, dynamic_axes=axes, **names)

    def call(self, batch, callers, threads):
        """Readies a function for one caller, in its own thread."""
        self.torch.set_num_threads(threads)  # of this thread

        def run(samples):
            with self.torch.inference_mode():
                return self.network(samples).numpy()

        return run

    def prepare(self, batch):
        return self.torch.from_numpy(batch)


class ONNXRuntime:
    def __init__(self, bundle, model):
        import onnxruntime

        self.onnxruntime, self.model, self.sessions = onnxruntime, model, {}
        self.versions = {"onnxruntime": onnxruntime.__version__}

    def call(self, batch, callers, threads):
        key = batch, threads
        if key not in self.sessions:
            options = self.onnxruntime.SessionOptions()
            options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
            options.add_free_dimension_override_by_name("batch", batch)
            options.log_severity_level = 3
            self.sessions[key] = self.onnxruntime.InferenceSession(self.model, options, providers=["CPUExecutionProvider"])
        session = self.sessions[key]
        return lambda samples: session.run(None, {"samples": samples})[0]

    def prepare(self, batch):
        return batch


class OpenVINO:
    def __init__(self, bundle, model):
        import openvino

        self.core, self.model, self.compiled = openvino.Core(), model, {}
        self.versions = {"openvino": openvino.__version__}

    def call(self, batch, callers, threads):
        key = batch, callers, threads
        if key not in self.compiled:
            network = self.core.read_model(self.model)
            shape = network.input(0).partial_shape
            shape[0] = batch
            network.reshape(shape)
            settings = {"INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": callers, "INFERENCE_NUM_THREADS": callers * threads}
            self.compiled[key] = self.core.compile_model(network, "CPU", settings)
        request = self.compiled[key].create_infer_request()

        def run(samples):
            request.infer({0: samples}, share_inputs=True)
            return request.get_output_tensor(0).data

        return run

    def prepare(self, batch):
        return batch


RUNTIMES = {"torch": Torch, "onnxruntime": ONNXRuntime, "openvino": OpenVINO}


def read_samples(bundle, path):
    """The samples as the network of network.py takes them, images with the channels first, and the lengths of texts."""
    with open(bundle + "/manifest.json", encoding="utf-8") as file:
        manifest = json.load(file)
    spec = manifest["input"]
    if spec["kind"] == "text":
        ids = np.fromfile(path, "<i4").reshape(-1, spec["max_length"])
        tokens = ids != manifest["backbone"].get("pad_id", 0)
        return ids, spec["max_length"] - np.argmax(tokens[:, ::-1], axis=1)
    samples = np.fromfile(path, "<f4").reshape(-1, *spec["shape"])
    return np.ascontiguousarray(np.moveaxis(samples, -1, 1)), None


class Peer:
    def __init__(self, runtime, bundle, inputs, model):
        self.samples, self.lengths = read_samples(bundle, inputs)
        self.runtime = RUNTIMES[runtime](bundle, model)
        self.prepared = {}  # batches by size
        self.last = time.perf_counter(), time.process_time()

    def batch(self, start, n):
        """Samples from start on; texts no longer than the longest of them."""
        rows = self.samples[start : start + n]
        if self.lengths is None:
            return rows
        return np.ascontiguousarray(rows[:, : self.lengths[start : start + n].max()])

    def answer(self, request):
        match request["do"]:
            case "export":
                varying = self.lengths is not None and bool((self.lengths < self.samples.shape[1]).any())
                self.runtime.export(self.batch(0, 2), varying)
                return {}
            case "versions":
                return {"versions": {"python": platform.python_version(), "numpy": np.__version__, **self.runtime.versions}}
            case "logits":
                n = request["samples"]
                run = self.runtime.call(n, 1, 1)
                return {"logits": run(self.runtime.prepare(self.batch(0, n))).tolist()}
            case "time":
                load = request["batch"], request["callers"], request["threads"], request.get("pass", 0)
                return self.time(*load, request["seconds"])
        raise ValueError(f"do is {request['do']!r}, want export, versions, logits or time")

    def time(self, batch, callers, threads, samples, seconds):
        idle, idle_cpu = time.perf_counter() - self.last[0], time.process_time() - self.last[1]
        if batch not in self.prepared:
            rows = range(0, len(self.samples) - batch + 1, batch)
            self.prepared[batch] = [self.runtime.prepare(self.batch(i, batch)) for i in rows]
        inputs, streams, ready = self.prepared[batch], [None] * callers, threading.Barrier(callers)
        calls = threading.Lock()
        shared = Passes(samples // batch, seconds) if samples else None

        def work(i):
            try:
                with calls:  # one builds what both use
                    run = self.runtime.call(batch, callers, threads)
                run(inputs[0])
                ready.wait()
                streams[i] = stream(run, inputs, shared or Turn(seconds))
            except BaseException as err:
                ready.abort()
                streams[i] = err

        workers = [threading.Thread(target=work, args=(i,)) for i in range(callers)]
        for w in workers:
            w.start()
        for w in workers:
            w.join()
        for s in streams:
            if isinstance(s, BaseException):
                raise s
        return {"streams": streams, "idle": idle, "idle_cpu": idle_cpu}

    def serve(self):
        for line in sys.stdin:
            try:
                reply = self.answer(json.loads(line))
            except Exception as err:
                reply = {"error": f"{type(err).__name__}: {err}"}
            print(json.dumps(reply), flush=True)
            self.last = time.perf_counter(), time.process_time()


class Turn:
    """The calls of one caller until the time is over, at least one."""

    def __init__(self, seconds):
        self.seconds, self.calls = seconds, 0

    def next(self, now):
        """The number of the next call made now; None after the last."""
        if self.calls == 0:
            self.end = now + self.seconds
        elif now >= self.end:
            return None
        self.calls += 1
        return self.calls - 1


class Passes:
    """The calls of callers who share passes of so many calls, until a pass ends after the time."""

    def __init__(self, length, seconds):
        self.length, self.turn, self.lock = length, Turn(seconds), threading.Lock()
        self.left, self.over = 0, False

    def next(self, now):
        with self.lock:
            if self.left == 0:  # a new pass, unless the time is over
                self.over = self.over or self.turn.next(now) is None
                self.left = self.length
            if self.over:
                return None
            self.left -= 1
            return self.length - 1 - self.left


def stream(run, inputs, turn):
    """Calls one after the other until the turn is over."""
    ms = []
    begin = end = time.perf_counter()
    while (call := turn.next(end)) is not None:
        samples = inputs[call % len(inputs)]
        start = time.perf_counter()
        run(samples)
        end = time.perf_counter()
        ms.append((end - start) * 1000)
    return {"ms": ms, "seconds": end - begin}


if __name__ == "__main__":
    Peer(*sys.argv[1:]).serve()
