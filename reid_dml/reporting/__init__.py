"""Tables of metrics, figures and Markdown pages."""
