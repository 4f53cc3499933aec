"""n8n: the key as the credential of DigitalOcean's node: `python import_credential.py ../secrets/report.env`.

n8n keeps credentials encrypted in its database, and reads them for each execution: nothing has to be restarted. A
credential of the same id is replaced. Run this as `after_delivery`, as the user of n8n and with its environment.
"""

import json
import subprocess
import sys
import tempfile

import dotenv

credential = {
    "id": "keyturnInference",
    "name": "DigitalOcean inference",
    "type": "digitalOceanServerlessInferenceApi",
    "data": {"key": dotenv.dotenv_values(sys.argv[1])["MODEL_ACCESS_KEY"]},
}
with tempfile.NamedTemporaryFile("w", suffix=".json") as file:  # only this user may read it
    json.dump([credential], file)
    file.flush()
    subprocess.run(["n8n", "import:credentials", f"--input={file.name}"], check=True)  # noqa: S607 - found on PATH
