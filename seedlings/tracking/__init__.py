"""MLflow as a view of DVC: run logger, sync, comparisons, registry, sharing, verification."""
