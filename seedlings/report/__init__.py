"""Report: self-contained HTML pages, summaries and the diagram of the pipeline."""
