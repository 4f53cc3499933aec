"""Plain HTTP, with the key from AWS Secrets Manager: `python http_from_aws.py apps/report/inference`.

Credentials and region as boto3 takes them; they need `secretsmanager:GetSecretValue` on this one secret.
"""

import json
import os
import sys

import boto3
import httpx

found = boto3.client("secretsmanager").get_secret_value(SecretId=sys.argv[1], VersionStage="AWSCURRENT")
key = json.loads(found["SecretString"])["MODEL_ACCESS_KEY"]

url = os.environ.get("INFERENCE_URL", "https://inference.do-ai.run")
answer = httpx.post(
    f"{url}/v1/chat/completions",
    headers={"Authorization": f"Bearer {key}"},
    json={
        "model": "llama3.3-70b-instruct",
        "messages": [{"role": "user", "content": "ping"}],
        "max_tokens": 16,
    },
    timeout=60,
)
answer.raise_for_status()
print(answer.json()["choices"][0]["message"]["content"])
