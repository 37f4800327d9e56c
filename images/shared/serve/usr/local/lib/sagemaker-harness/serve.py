# ruff: noqa: BLE001, INP001, PLC0415, S104, S202, T201 - a server for one user's own code, inside a container
"""What answers GET /ping and POST /invocations in a stand-in image?

The user's script is served as the framework containers document it: ``model_fn`` once, then for every request either
``transform_fn`` or ``input_fn``, ``predict_fn`` and ``output_fn``, with the framework's defaults for those that the
script does not define. One process, one request at a time, no web framework: the standard library's server.
"""

from __future__ import annotations

import csv
import importlib
import importlib.util
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import tempfile
import threading
import traceback
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    Answer = tuple[int, str, bytes]

CSV, JSON, NPY = "text/csv", "application/json", "application/x-npy"
LIBSVM = ("text/libsvm", "text/x-libsvm")
TEXT = (JSON, CSV)
BASE = Path(os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml"))
MODEL = Path(os.environ.get("SM_MODEL_DIR", str(BASE / "model")))


class UnsupportedFormatError(Exception):
    """A content type that nobody here can read or write."""

    def __init__(self, content_type: str) -> None:
        """Say which one."""
        super().__init__(f"Content type {content_type} is not supported by this framework.")


class Framework:
    """What the scikit-learn container does where a script leaves it to the framework."""

    def model_fn(self, _model_dir: str) -> Any:
        """Refuse: there is no default."""
        raise NotImplementedError("Please provide a model_fn implementation.")

    def input_fn(self, content: str | bytes, content_type: str) -> Any:
        """Make an array of what was sent."""
        import numpy as np

        array = self.decode(content, content_type)
        return array.astype(np.float32) if content_type in TEXT else array

    def predict_fn(self, data: Any, model: Any) -> Any:
        """Ask the model."""
        return model.predict(data)

    def output_fn(self, prediction: Any, accept: str) -> Any:
        """Write it as the caller wants it."""
        return self.encode(prediction, accept), accept

    @staticmethod
    def decode(content: Any, content_type: str) -> Any:
        """Read the formats that the toolkits read."""
        import numpy as np

        if content_type == CSV:
            return np.array(list(csv.reader(io.StringIO(content), strict=True))).squeeze()
        if content_type == JSON:
            return np.array(json.loads(content))
        if content_type == NPY:
            return np.load(io.BytesIO(content), allow_pickle=True)
        raise UnsupportedFormatError(content_type)

    @staticmethod
    def encode(prediction: Any, accept: str) -> str | bytes:
        """Write the formats that the toolkits write."""
        import numpy as np

        if accept == JSON:
            return json.dumps(prediction, default=lambda value: value.tolist())
        if accept == CSV:
            array = np.array(prediction)
            text = io.StringIO()
            csv.writer(text, lineterminator="\n").writerows(array.reshape(len(array), 1) if array.ndim == 1 else array)
            return text.getvalue()
        if accept == NPY:
            buffer = io.BytesIO()
            np.save(buffer, prediction)
            return buffer.getvalue()
        raise UnsupportedFormatError(accept)


class XGBoost(Framework):
    """What the XGBoost container does in script mode where a script leaves it to the framework."""

    def input_fn(self, content: str | bytes, content_type: str) -> Any:
        """Make a matrix of what was sent."""
        import numpy as np
        import xgboost

        header = Message()
        header["Content-Type"] = content_type
        media_type = header.get_content_type()
        if media_type == CSV:
            text = content.decode() if isinstance(content, bytes) else content
            delimiter = csv.Sniffer().sniff(text.split("\n")[0][:512]).delimiter
            delimiter = "," if delimiter.isalnum() else delimiter
            rows = [[cell or "nan" for cell in line.split(delimiter)] for line in text.split("\n")]
            return xgboost.DMatrix(np.array(rows).astype(float))
        if media_type in LIBSVM:
            with tempfile.NamedTemporaryFile() as file:
                file.write(content.encode() if isinstance(content, str) else content)
                file.flush()
                return xgboost.DMatrix(f"{file.name}?format=libsvm")
        raise UnsupportedFormatError(media_type)

    def predict_fn(self, data: Any, model: Any) -> Any:
        """Ask the model; columns of requests have no names."""
        return model.predict(data, validate_features=False)


class Model:
    """The user's functions, and the model that they loaded."""

    def __init__(self, module: ModuleType, framework: Framework) -> None:
        """Take the functions that the script defines, the framework's for the others, and load the model."""
        self.functions = {
            name: getattr(module, name, None) or getattr(framework, name)
            for name in ("model_fn", "input_fn", "predict_fn", "output_fn")
        }
        self.transform_fn = getattr(module, "transform_fn", None)
        self.execution_parameters_fn = getattr(module, "execution_parameters_fn", None)
        own = [name for name in ("input_fn", "predict_fn", "output_fn") if hasattr(module, name)]
        if self.transform_fn and own:
            raise ValueError(f"Cannot use transform_fn implementation with {', '.join(own)}")
        self.model = self.functions["model_fn"](str(MODEL))
        self.lock = threading.Lock()

    def answer(self, content: Any, content_type: str, accept: str) -> Answer:
        """Give status, media type and body."""
        if content_type in TEXT:
            content = content.decode("utf-8")
        with self.lock:
            if self.transform_fn:
                return self.response(self.transform_fn(self.model, content, content_type, accept))
            try:
                data = self.functions["input_fn"](content, content_type)
            except Exception as error:
                return self.refusal(error, 415)
            prediction = self.functions["predict_fn"](data, self.model)
            try:
                return self.response(self.functions["output_fn"](prediction, accept))
            except Exception as error:
                return self.refusal(error, 406)

    @staticmethod
    def refusal(error: Exception, status: int) -> Answer:
        """Answer a format that nobody can read or write; other errors go on."""
        if type(error).__name__ != "UnsupportedFormatError":  # the toolkits' own errors of this name count, too
            raise error
        fields = {"error": type(error).__name__, "error-message": str(error), "stack-trace": traceback.format_exc()}
        return status, JSON, json.dumps(fields).encode()

    @staticmethod
    def response(result: Any) -> Answer:
        """Make an answer of whatever the script gave."""
        if hasattr(result, "get_data"):  # a response object of the toolkits' web framework
            return result.status_code, result.headers.get("Content-Type", JSON), result.get_data()
        body, media_type = result if isinstance(result, tuple) else (result, "text/html; charset=utf-8")
        return 200, media_type, body.encode() if isinstance(body, str) else bytes(body)


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    model: Model

    def do_GET(self) -> None:
        """Say that the server lives, or what batches it would like."""
        if self.path == "/ping":
            self.reply(200, JSON, b"")
        elif self.path == "/execution-parameters" and (parameters := self.model.execution_parameters_fn):
            self.attempt(lambda: self.model.response(parameters()))
        else:
            self.reply(404, JSON, b"")

    def do_POST(self) -> None:
        """Predict."""
        content = self.body()
        if self.path != "/invocations":
            self.reply(404, JSON, b"")
            return
        content_type = self.headers.get("ContentType") or self.headers.get("Content-Type") or JSON
        accept = self.headers.get("Accept")
        if not accept or accept == "*/*":
            accept = os.environ.get("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", JSON)
        self.attempt(lambda: self.model.answer(content, content_type, accept))

    def attempt(self, action: Callable[[], Answer]) -> None:
        """Answer, whatever the user's code does."""
        try:
            answer = action()
        except Exception as error:
            traceback.print_exc()
            answer = 500, JSON, json.dumps({"error": type(error).__name__, "error-message": str(error)}).encode()
        self.reply(*answer)

    def body(self) -> bytes:
        """Read the whole request, in pieces if it comes so."""
        if "chunked" not in self.headers.get("Transfer-Encoding", "").lower():
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass  # trailers
        return b"".join(parts)

    def reply(self, status: int, media_type: str, body: bytes) -> None:
        """Write the whole response."""
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def code_folder() -> Path:
    """Bring the user's code where it can be imported."""
    place = os.environ.get("SAGEMAKER_SUBMIT_DIRECTORY") or str(MODEL / "code")
    folder = Path(place)
    if place.startswith("s3://") or folder.is_file():
        archive = folder
        if place.startswith("s3://"):
            import boto3

            bucket, _, key = place[len("s3://") :].partition("/")
            archive = Path(tempfile.mkdtemp(), "sourcedir.tar.gz")
            endpoint = os.environ.get("S3_ENDPOINT_URL")
            boto3.client("s3", endpoint_url=endpoint).download_file(bucket, key, str(archive))
        folder = BASE / "code"
        folder.mkdir(parents=True, exist_ok=True)
        with tarfile.open(archive) as tar:
            tar.extractall(folder)  # the user's own code, about to be run
    if (folder / "requirements.txt").is_file():
        subprocess.run([sys.executable, "-m", "pip", "install", "-r", "requirements.txt"], cwd=folder, check=True)
    return folder


def main() -> None:
    """Load the model, then answer until told to stop."""
    program = os.environ.get("SAGEMAKER_PROGRAM")
    folder = code_folder()
    if not program:
        if not (folder / "inference.py").is_file():
            sys.exit("serve: this stand-in image serves script mode only: set SAGEMAKER_PROGRAM to the script's name")
        program = "inference.py"
    sys.path[:0] = [str((folder / program).parent), str(folder)]
    os.chdir(folder)
    module = importlib.import_module(Path(program).stem)
    framework = XGBoost() if importlib.util.find_spec("xgboost") else Framework()
    Handler.model = Model(module, framework)
    port = int(os.environ.get("SAGEMAKER_BIND_TO_PORT") or 8080)
    ThreadingHTTPServer.request_queue_size = 128
    server = ThreadingHTTPServer(("0.0.0.0", port), Handler)
    server.daemon_threads = True
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    print(f"serving {program} on port {port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
