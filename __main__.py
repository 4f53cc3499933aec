"""Starts the Pulumi provider, for PulumiPlugin.yaml."""

import sys

from keyturn_provider.plugin.main import main

sys.exit(main())
