"""k8s-ecmp: Kubernetes state in, multipath static routes on physical routers out."""

__version__ = "0.1.0"
