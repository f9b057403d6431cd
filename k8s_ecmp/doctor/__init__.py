"""`k8s-ecmp doctor`: looks at settings, cluster and routers for what would break traffic, and changes nothing."""
