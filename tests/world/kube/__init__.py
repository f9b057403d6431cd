"""A real Kubernetes API server for tests, built from Go modules."""
