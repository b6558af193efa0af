"""What the operator decided: environment and `gateway.yaml` as one typed tree."""
