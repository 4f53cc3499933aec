"""A fal model, with the key from DigitalOcean Secrets Manager: `python fal_from_do_secrets.py report-inference`.

DIGITALOCEAN_TOKEN of the program's own, with the scope security:read and nothing else. Image and audio models answer
later: a job is started, and asked for until it has ended.
"""

import os
import sys
import time

import httpx

api = httpx.Client(
    base_url=os.environ.get("API_URL", "https://api.digitalocean.com"),
    headers={"Authorization": f"Bearer {os.environ['DIGITALOCEAN_TOKEN']}"},
    timeout=60,
)
found = api.get(f"/v2/security/secrets/{sys.argv[1]}", params={"region": "nyc3"})
found.raise_for_status()
key = found.json()["values"]["MODEL_ACCESS_KEY"]

inference = httpx.Client(
    base_url=os.environ.get("INFERENCE_URL", "https://inference.do-ai.run"),
    headers={"Authorization": f"Bearer {key}"},
    timeout=60,
)
job = {"model_id": "fal-ai/flux/schnell", "input": {"prompt": "a lighthouse"}}
started = inference.post("/v1/async-invoke", json=job)
started.raise_for_status()
path = f"/v1/async-invoke/{started.json()['request_id']}"
for _ in range(120):
    status = inference.get(f"{path}/status").raise_for_status().json()["status"]
    if status in {"COMPLETED", "FAILED"}:
        break
    time.sleep(1)
images = inference.get(path).raise_for_status().json()["output"]["images"]
print(f"{len(images)} {images[0]['content_type']}")
