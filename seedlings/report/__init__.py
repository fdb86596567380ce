"""The report: stand-alone HTML pages, summaries and the diagram of the pipeline."""
