"""The report: page, plots, gallery, drift, ablation."""
