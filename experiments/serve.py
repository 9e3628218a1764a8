"""Serve exported models on this machine, by the REST and gRPC interfaces of TensorFlow Serving.

```bash
bert-tf serve --export_dir classifier/export --port 8501
curl -d '{"instances": ["A text.", "Another one."]}' localhost:8501/v1/models/model:predict
```
"""

import sys
from collections.abc import Sequence

from absl import flags

from bert_tf.server import options as settings
from bert_tf.utils import launching
from bert_tf.utils.arguments import renamed

_OPTIONS = (
    *("max_request_bytes", "max_texts", "max_characters", "max_requests", "max_batch_texts", "max_queue_texts"),
    *("timeout", "latency_budget", "parallel", "poll_seconds", "access_log", "cors_origins"),
)


def define_flags() -> None:
    """Define the flags of this command."""
    flags.DEFINE_string("export_dir", None, "The folder of an export's versions, from bert-tf export-saved-model.")
    flags.DEFINE_string("name", "model", "The name of the model of --export_dir in paths.")
    flags.DEFINE_list("models", [], "Several models instead: NAME=FOLDER,NAME=FOLDER.")
    flags.DEFINE_string("model_config_file", None, "TensorFlow Serving's model config file instead.")
    flags.DEFINE_string(
        "runtime",
        "saved_model",
        "What computes the models: saved_model, onnx, litert, or one quantization: litert:int8.",
    )
    flags.DEFINE_list(
        "runs", [], "The run of the export, or NAME=RUN for several: adds streams, explanations, attention."
    )
    flags.DEFINE_list("labels", [], "Labels of versions: LABEL=VERSION, or NAME:LABEL=VERSION for several models.")
    flags.DEFINE_integer("num_versions", 1, "The number of newest versions to serve.", lower_bound=1)
    flags.DEFINE_string("host", "127.0.0.1", "The address to listen at; 0.0.0.0 for all of this machine.")
    flags.DEFINE_integer("port", 8501, "The port to listen at; 0 for any free one.", 0, 65535)
    flags.DEFINE_integer("grpc_port", None, "The port of gRPC, 8500 in TensorFlow Serving; none by default.", 0, 65535)
    flags.DEFINE_integer("max_request_bytes", 8 * 2**20, "The largest body of a request.", lower_bound=1)
    flags.DEFINE_integer("max_texts", 1024, "The largest number of texts in a request.", lower_bound=1)
    flags.DEFINE_integer("max_characters", 100_000, "The largest number of UTF-8 bytes in a text.", lower_bound=1)
    flags.DEFINE_integer("max_requests", 512, "The number of requests held at a time.", lower_bound=1)
    flags.DEFINE_float("timeout", 30.0, "The seconds that a request may take to arrive, and to be answered.", 0.001)
    flags.DEFINE_integer("max_batch_texts", 64, "The largest number of texts computed together.", lower_bound=1)
    flags.DEFINE_float("latency_budget", 0.5, "The seconds that a batch of several requests may take.", 0.0001)
    flags.DEFINE_integer("max_queue_texts", 4096, "The number of texts that may wait for the model.", lower_bound=1)
    flags.DEFINE_integer("parallel", 1, "The number of threads that run models, on all cores each.", lower_bound=1)
    flags.DEFINE_float("poll_seconds", 1.0, "The seconds between two looks for new versions.", 0.001)
    flags.DEFINE_string("access_log", "-", "The file of the access log, in JSON lines; - for stderr, '' for none.")
    flags.DEFINE_string("api_key_file", None, "A file of keys, one a line, one of which requests must have.")
    flags.DEFINE_list("cors_origins", [], "The origins of pages in browsers that may ask; none by default.")
    flags.DEFINE_string("certificate_file", None, "The certificate in PEM, for HTTPS and gRPC with TLS.")
    flags.DEFINE_string("key_file", None, "The key of the certificate, if it is in another file.")


def main(_: Sequence[str]) -> None:
    """Read the flags, load the models and serve them."""
    from bert_tf.server.model_config import read_model_config
    from bert_tf.server.models import ServedModel, ServedModels
    from bert_tf.server.running import Server
    from bert_tf.server.served_run import attach_runs
    from bert_tf.server.tls import read_tls

    values = flags.FLAGS
    given = [f"--{name}" for name in ("export_dir", "models", "model_config_file") if values.get_flag_value(name, None)]
    if len(given) != 1:
        one = "one of --export_dir, --models and --model_config_file"
        raise ValueError(f"{one} must be given. Received: {' and '.join(given) or 'none'}")
    if values.model_config_file and values.labels:
        raise ValueError(f"--labels must be version_labels of --model_config_file. Received: {','.join(values.labels)}")
    options = settings.ServerOptions(
        api_keys=settings.read_api_keys(values.api_key_file) if values.api_key_file else (),
        **{name: values.get_flag_value(name, None) for name in _OPTIONS},
    )
    tls = read_tls(values.certificate_file, values.key_file) if values.certificate_file or values.key_file else None
    with renamed(models=given[0].removeprefix("--")):
        try:
            if values.model_config_file:
                models = read_model_config(values.model_config_file, values.runtime)
            else:
                named = settings.name_models(values.models or [f"{values.name}={values.export_dir}"], values.labels)
                models = [ServedModel(*each, values.num_versions, runtime=values.runtime) for each in named]
            ports = {"port": values.port, "grpc_port": values.grpc_port}
            server = Server(ServedModels(*models), options, host=values.host, **ports, tls=tls)
        except ImportError as error:
            sys.exit(f"error: {error}")
        for model in models:
            model.load()
        attach_runs(values.runs, {model.name: model for model in models})
    addresses = [f"{url}/v1/models/{model.name}" for model in models for url in (server.url, server.grpc_url) if url]
    server.run(lambda: print("\n".join(addresses), flush=True))


if __name__ == "__main__":
    launching.run(main, define_flags)
