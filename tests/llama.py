"""llama.cpp's own server with a model that is made here: tokenizer, template, grammar and sampler are real, the weights are dice.

What it says makes no sense, and is all the same what a server of this kind says: as many tokens as it counts, tools and arguments that
its grammar lets through, cut off where it may say no more. The same question has the same answer, so a test that passes goes on to.
The model weighs 250 kB and says some thousand tokens a second. From PyPI: llama.cpp's server as a wheel, and who writes its model files.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path
from typing import Final, Self

import gguf
import numpy as np

from pilothouse.local.privileges import tethered

NAME: Final = "dice"
KEY: Final = "secret"
_LETTERS: Final = [*range(33, 127), *range(161, 173), *range(174, 256)]  # bytes that this kind of vocabulary writes as they are
_START, _END, _CALL, _CALLED = "<|im_start|>", "<|im_end|>", "<tool_call>", "</tool_call>"
_TEMPLATE: Final = """\
{%- if tools %}<|im_start|>system
{% for tool in tools %}{{ tool.function | tojson }}
{% endfor %}Call one so: <tool_call>{"name": its name, "arguments": an object}</tool_call><|im_end|>
{% endif %}
{%- for message in messages %}<|im_start|>{{ message.role }}
{{ message.content or '' }}
{%- for call in message.tool_calls or [] %}<tool_call>\
{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}</tool_call>{% endfor %}<|im_end|>
{% endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""
_WIDTH: Final = 64
_HEADS: Final = 2
_CONTEXT: Final = 65_536  # a token is a byte here, so conversations are long


class Llama:
    """One server, in a process of its own that can be stopped and killed."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="llama")
        self.model = Path(self._folder.name) / f"{NAME}.gguf"
        write(self.model)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, again where it was killed."""
        command = [sys.executable, __file__, str(self.model), str(self.port)]
        shows = os.environ | {"LLAMA_SERVER_SLOTS_DEBUG": "1"}  # what it was asked
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=tethered(), env=shows)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                self._get("/health")
            except OSError:
                time.sleep(0.02)
            else:
                return
        raise RuntimeError(f"llama.cpp's server did not start (exit code {self.process.poll()})")

    def prompt(self) -> str:
        """What its model was given last: the conversation as its template writes it."""
        return str(json.loads(self._get("/slots"))[0]["prompt"])

    def counted(self) -> tuple[int, int]:
        """The tokens that it has read and written since it started."""
        told = dict(line.split() for line in self._get("/metrics").splitlines() if not line.startswith("#"))
        return int(told["llamacpp:prompt_tokens_total"]), int(told["llamacpp:tokens_predicted_total"])

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._folder.cleanup()

    def _get(self, path: str) -> str:
        request = urllib.request.Request(f"{self.url}{path}", headers={"Authorization": f"Bearer {KEY}"})
        with urllib.request.urlopen(request, timeout=5) as response:
            return str(response.read(), "utf-8")


def write(path: Path) -> None:
    """A model of one layer that knows a token for each byte, and four of its own."""
    others = iter(range(256, 512))
    tokens = [chr(byte if byte in _LETTERS else next(others)) for byte in range(256)]
    tokens += [_START, _END, _CALL, _CALLED, "th"]
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(_CONTEXT)
    writer.add_embedding_length(_WIDTH)
    writer.add_block_count(1)
    writer.add_feed_forward_length(_WIDTH)
    writer.add_head_count(_HEADS)
    writer.add_head_count_kv(1)  # which all heads share
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    kinds = {_START: gguf.TokenType.CONTROL, _END: gguf.TokenType.CONTROL}  # what a text of a user is taken for, too
    kinds |= dict.fromkeys((_CALL, _CALLED), gguf.TokenType.USER_DEFINED)
    writer.add_token_types([kinds.get(each, gguf.TokenType.NORMAL) for each in tokens])
    writer.add_token_merges(["t h"])  # none at all is not taken for a vocabulary
    writer.add_bos_token_id(tokens.index(_START))
    writer.add_eos_token_id(tokens.index(_END))
    writer.add_add_bos_token(False)
    writer.add_chat_template(_TEMPLATE)
    for name, weights in _weights(tokens).items():
        writer.add_tensor(name, weights.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _weights(tokens: list[str]) -> dict[str, np.ndarray]:
    """Dice, but for some habits: to use letters, to call something instead of talking, and to come to an end. Each habit has a place of
    its own in what is known of a token, which nothing else writes to."""
    dice = np.random.default_rng(6)
    habits = {tokens[ord("\n")]: (_CALL, 30), "}": (_CALLED, 30), _CALLED: (_END, 30), '"': ("d", 0.5)}

    def thrown(rows: int, strength: float, free: int = 0) -> np.ndarray:
        weights = dice.standard_normal((rows, _WIDTH)) * strength
        weights[:free] = 0
        return weights

    known, says = thrown(len(tokens), 1), thrown(len(tokens), 0.15)
    likings = dict.fromkeys("abcdefghijklmnopqrstuvwxyz", 0) | {'"': 1, ":": -3, ",": -7, "]": -6, "}": -6, "0": -7}
    known[:, : 1 + len(habits)] = says[:, : 1 + len(habits)] = 0
    known[:, 0] = 3  # of every token alike: what is said whatever was said before
    says[:, 0] = [likings.get(token, -12 if token.isascii() and len(token) == 1 else -40) / 3 for token in tokens]
    for place, (said, (following, strength)) in enumerate(habits.items(), 1):
        known[tokens.index(said), place] = 3
        says[tokens.index(following), place] = strength
    return {
        "token_embd.weight": known,
        "output.weight": says,
        "output_norm.weight": np.ones(_WIDTH),
        "blk.0.attn_norm.weight": np.ones(_WIDTH),
        "blk.0.attn_q.weight": thrown(_WIDTH, 0.3),
        "blk.0.attn_k.weight": thrown(_WIDTH // _HEADS, 0.3),
        "blk.0.attn_v.weight": thrown(_WIDTH // _HEADS, 0.3),
        "blk.0.attn_output.weight": thrown(_WIDTH, 0.05, free=1 + len(habits)),
        "blk.0.ffn_norm.weight": np.ones(_WIDTH),
        "blk.0.ffn_gate.weight": thrown(_WIDTH, 0.1),
        "blk.0.ffn_up.weight": thrown(_WIDTH, 0.1),
        "blk.0.ffn_down.weight": thrown(_WIDTH, 0.1, free=1 + len(habits)),
    }


def _serve(model: str, port: int) -> None:
    import xllamacpp

    given = xllamacpp.CommonParams()
    given.model.path = model
    given.model_alias = {NAME}
    given.api_keys = [KEY]
    given.port = port
    given.n_ctx = _CONTEXT
    given.n_parallel = 1
    given.n_gpu_layers = 0
    given.warmup = False
    given.cache_prompt = False  # what was read before is read and counted again
    given.endpoint_metrics = given.endpoint_slots = True
    given.cpuparams.n_threads = given.cpuparams_batch.n_threads = 1
    given.sampling.seed = 6
    _ = xllamacpp.Server(given)
    threading.Event().wait()


if __name__ == "__main__":
    _serve(sys.argv[1], int(sys.argv[2]))
