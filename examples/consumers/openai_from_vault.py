"""The OpenAI client, with the key from Vault or OpenBao: `python openai_from_vault.py apps/report/inference`.

VAULT_ADDR and VAULT_TOKEN as usual; the token needs `read` on `secret/data/<path>`, and nothing else.
"""

import os
import sys

import hvac
import openai

vault = hvac.Client()  # takes VAULT_ADDR and VAULT_TOKEN
found = vault.secrets.kv.v2.read_secret_version(path=sys.argv[1], raise_on_deleted_version=True)
key = found["data"]["data"]["MODEL_ACCESS_KEY"]

url = os.environ.get("INFERENCE_URL", "https://inference.do-ai.run")
with openai.OpenAI(base_url=f"{url}/v1", api_key=key) as client:
    answer = client.chat.completions.create(
        model="llama3.3-70b-instruct",
        messages=[{"role": "user", "content": "ping"}],
        max_tokens=16,
    )
print(answer.choices[0].message.content)
