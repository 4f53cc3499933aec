"""The gradient SDK, with the key from 1Password Connect: `python gradient_from_1password.py apps/report/inference`.

OP_CONNECT_HOST and OP_CONNECT_TOKEN as usual; the token needs `read` on the one vault. gradient was retired in August
2026 in favour of pydo; programs that have it go on working.
"""

import os
import sys

from gradient import Gradient
from onepasswordconnectsdk import new_client_from_environment

item = new_client_from_environment().get_item(sys.argv[1], "Platform")
key = next(field.value for field in item.fields if field.label == "MODEL_ACCESS_KEY")

url = os.environ.get("INFERENCE_URL", "https://inference.do-ai.run")
with Gradient(model_access_key=key, inference_endpoint=url) as client:
    answer = client.chat.completions.create(
        model="llama3.3-70b-instruct",
        messages=[{"role": "user", "content": "ping"}],
        max_tokens=16,
    )
print(answer.choices[0].message.content)
