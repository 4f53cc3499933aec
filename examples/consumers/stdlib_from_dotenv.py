"""No client at all, with the key from a dotenv file: `python stdlib_from_dotenv.py secrets/report.env`."""

import json
import os
import sys
import urllib.request

import dotenv

dotenv.load_dotenv(sys.argv[1], override=True)

url = os.environ.get("INFERENCE_URL", "https://inference.do-ai.run")
request = urllib.request.Request(
    f"{url}/v1/chat/completions",
    headers={"Authorization": f"Bearer {os.environ['MODEL_ACCESS_KEY']}", "Content-Type": "application/json"},
    data=json.dumps(
        {
            "model": "llama3.3-70b-instruct",
            "messages": [{"role": "user", "content": "ping"}],
            "max_tokens": 16,
        }
    ).encode(),
)
with urllib.request.urlopen(request, timeout=60) as answer:
    print(json.load(answer)["choices"][0]["message"]["content"])
