"""The worker of transformers on PyTorch: an `EncoderDecoderModel` of two BERTs with its cache (bert2bert).

It gets the ids of random tokens, as many as the others' texts have, so that it does not tokenize.
"""

import json
import os
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from generating_protocol import Generate, serve


def start(folder: str) -> tuple[Generate, dict[str, str]]:
    """Start the implementation; see `generating_protocol.serve`."""
    import torch
    import transformers

    torch.set_num_threads(len(os.sched_getaffinity(0)))  # by default it leaves out hyper-threads, which TensorFlow uses
    sizes = json.loads(Path(folder, "sizes.json").read_text(encoding="utf-8"))
    encoder = transformers.BertConfig(**sizes["model"])
    decoder = transformers.BertConfig(**sizes["model"], is_decoder=True, add_cross_attention=True)
    config = transformers.EncoderDecoderConfig.from_encoder_decoder_configs(encoder, decoder)
    model = transformers.EncoderDecoderModel(config=config).eval()
    # Without an end, it generates as many tokens as it may.
    model.generation_config.update(decoder_start_token_id=1, pad_token_id=0, eos_token_id=None)

    def generate(texts: Sequence[str], beams: int, tokens: int) -> list[int]:
        ids = torch.randint(5, sizes["model"]["vocab_size"], (len(texts), sizes["source_length"]))
        with torch.inference_mode():
            found = model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                num_beams=beams,
                max_new_tokens=tokens,
                do_sample=False,
                use_cache=True,
            )
        return [found.shape[1] - 1] * len(texts)  # without the token that starts

    return generate, {"torch": version("torch"), "transformers": version("transformers")}


if __name__ == "__main__":
    serve(start)
