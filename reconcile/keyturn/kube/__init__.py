"""The Kubernetes face: custom resources, what they come to as a manifest, and what their status says."""
