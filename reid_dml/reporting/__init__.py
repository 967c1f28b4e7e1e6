"""Tables of metrics, figures and the report page."""
