"""MLflow as a view of DVC: runs, revisions, comparisons, the registry, sharing, verification."""
