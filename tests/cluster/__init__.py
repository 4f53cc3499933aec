"""A Kubernetes control plane for the tests, built from its Go modules: etcd and the API server, without nodes."""
