"""Where keyturn runs: workflows, units, manifests and the image, each checked by the tool that its users have."""
