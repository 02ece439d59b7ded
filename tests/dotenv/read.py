"""Reads .env files with python-dotenv: an array of texts in JSON on stdin, an array of objects on stdout."""

import json
import sys
import tempfile
from pathlib import Path

from dotenv.main import DotEnv


def read(text: str) -> dict[str, str]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / ".env"
        path.write_bytes(text.encode())
        values = DotEnv(path, encoding="utf-8", override=False).dict()
    return {name: value for name, value in values.items() if value is not None}


json.dump([read(text) for text in json.load(sys.stdin)], sys.stdout)
