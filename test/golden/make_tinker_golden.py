"""Records what the official Tinker SDK (0.38.0) sends to `aha serve --tinker`, and what it reads from the answers.

usage: make_tinker_golden.py URL BASE_MODEL OUT.json        (a Python with tinker==0.38.0; TINKER_API_KEY=tml-…)

Between the two stands a proxy that keeps each exchange: path, body (JSON as text, protobuf as hex), the answer. Beside it are
messages that the SDK's own classes serialise, with what is in them.
"""

import json
import os
import sys
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import tinker
from tinker import types
from tinker.proto import request_conv, response_conv
from tinker.proto import tinker_public_pb2 as pb

URL, BASE, OUT = sys.argv[1:4]
exchanges = []
lock = threading.Lock()


def shown(body, content_type):
    if "protobuf" in (content_type or ""):
        return body.hex()
    text = body.decode()
    if '"tokenizer_id"' not in text:
        return text
    # Where the model lies on the machine that records is nobody's matter.
    value = json.loads(text)
    value["model_data"]["tokenizer_id"] = "model"
    return json.dumps(value)


class Proxy(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def relay(self):
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        kept = ("content-type", "accept", "x-api-key")
        headers = {key: value for key, value in self.headers.items() if key.lower() in kept}
        request = urllib.request.Request(URL + self.path, data=body or None, headers=headers, method=self.command)
        try:
            with urllib.request.urlopen(request) as answer:
                status, kind, content = answer.status, answer.headers.get("content-type"), answer.read()
        except urllib.error.HTTPError as error:
            status, kind, content = error.code, error.headers.get("content-type"), error.read()
        with lock:
            exchanges.append(
                {
                    "method": self.command,
                    "path": self.path,
                    "request": shown(body, self.headers.get("content-type")),
                    "status": status,
                    "answer": shown(content, kind),
                }
            )
        self.send_response(status)
        if kind:
            self.send_header("content-type", kind)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_DELETE = do_PUT = relay

    def log_message(self, *_args):
        pass


def datum(spans=False, **inputs):
    made = types.Datum(model_input=types.ModelInput.from_ints([3, 4, 5]), loss_fn_inputs={"target_tokens": [4, 5, 6], **inputs})
    return made


def messages():
    """Messages by the SDK's own code, deterministic, and what they hold."""
    request = types.ForwardBackwardRequest(
        forward_backward_input=types.ForwardBackwardInput(
            data=[datum(logprobs=[-1.5, -0.25, -3.0], advantages=[0.0, 1.0, -2.0])],
            loss_fn="ppo",
            loss_fn_config={"clip_high_threshold": 1.25},
        ),
        model_id="session:train:0",
        seq_id=7,
    )
    output = pb.ForwardBackwardOutput(loss_fn_output_type="ArrayRecord")
    record = output.loss_fn_outputs.add(num_datums=2)
    field = record.fields["logprobs"]
    field.data = np.array([-1, -2, -3, -0.5], dtype=np.float32).tobytes()
    field.offsets = np.array([0, 12, 16], dtype=np.int64).tobytes()
    field.dtype = pb.DTYPE_FLOAT32
    output.metrics["loss:sum"] = 2.5
    sample = pb.SampleResponse(prompt_logprobs=np.array([np.nan, -1.5], dtype=np.float32).tobytes())
    for reason in (pb.STOP_REASON_STOP, pb.STOP_REASON_LENGTH):
        sequence = sample.sequences.add(stop_reason=reason)
        sequence.tokens = np.array([5, 6], dtype=np.int32).tobytes()
        sequence.logprobs = np.array([-0.5, -0.75], dtype=np.float32).tobytes()
    sparse = pb.Tensor(dtype=pb.DTYPE_FLOAT32, shape=[2, 3])
    sparse.sparse_csr.values = np.array([0.5, 0.25], dtype=np.float32).tobytes()
    sparse.sparse_csr.crow_indices = np.array([0, 1, 2], dtype=np.int64).tobytes()
    sparse.sparse_csr.col_indices = np.array([2, 0], dtype=np.int64).tobytes()
    sample.target_prompt_logprobs.CopyFrom(sparse)
    # What is written here is what the SDK itself reads.
    assert len(response_conv.deserialize_sample_response(sample.SerializeToString()).sequences) == 2
    assert response_conv.deserialize_forward_backward_output(output.SerializeToString()).metrics == {"loss:sum": 2.5}
    proto = request_conv.forward_backward_request_to_proto(request)
    return {
        "forwardBackwardRequest": proto.SerializeToString(deterministic=True).hex(),
        "forwardBackwardOutput": output.SerializeToString(deterministic=True).hex(),
        "sampleResponse": sample.SerializeToString(deterministic=True).hex(),
    }


server = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
threading.Thread(target=server.serve_forever, daemon=True).start()
os.environ["TINKER_TELEMETRY"] = "0"

service = tinker.ServiceClient(base_url=f"http://127.0.0.1:{server.server_address[1]}")
training = service.create_lora_training_client(base_model=BASE, rank=2, seed=1, user_metadata={"who": "golden"}).result()
training.get_info()
training.forward_backward([datum(weights=[0.0, 1.0, 1.0])], "cross_entropy").result()
training.optim_step(types.AdamParams(learning_rate=1e-3)).result()
training.forward([datum(weights=[0.0, 1.0, 1.0])], "cross_entropy").result()
sampler = training.save_weights_and_get_sampling_client().result()
params = types.SamplingParams(max_tokens=3, seed=1, stop=[1], temperature=0.7, top_k=5, top_p=0.9)
sampler.sample(types.ModelInput.from_ints([3, 4]), num_samples=2, sampling_params=params).result()
sampler.compute_logprobs(types.ModelInput.from_ints([3, 4, 5])).result()
state = training.save_state("one", ttl_seconds=3600).result().path
named = training.save_weights_for_sampler("two").result().path
service.create_sampling_client(model_path=named)
service.create_sampling_client(base_model=BASE)
service.create_training_client_from_state_with_optimizer(state).result()
rest = service.create_rest_client()
rest.get_weights_info_by_tinker_path(state).result()
rest.list_training_runs().result()
rest.delete_checkpoint_from_tinker_path(state).result()
service.close("success")

with open(OUT, "w") as file:
    json.dump({"sdk": "0.38.0", "messages": messages(), "exchanges": exchanges}, file, indent=1)
    file.write("\n")
print(len(exchanges), "exchanges")
