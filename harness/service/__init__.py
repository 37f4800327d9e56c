"""What would SageMaker do? Requests, `/opt/ml`, environment, names, statuses, images: pure."""
