"""`k8s-ecmp run`: follows the cluster, keeps sessions to the routers, and changes routes as soon as they are due."""
